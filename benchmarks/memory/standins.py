"""Nodes around real-size random networks, so that they are measured by the very code that measures shipped nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pipelines.schema.node import Context, Inputs, Outputs, Place, Port


class Network:
    """A network of `benchmarks.memory.networks`, fed `segment` seconds at a time, as separators and encoders are."""

    inputs: ClassVar[Mapping[str, Port]] = {"audio": Port("audio")}
    outputs: ClassVar[Mapping[str, Port]] = {"audio": Port("audio")}
    name = ""
    rate = 16_000
    channels = 1

    def __init__(self, segment: float = 7.8) -> None:
        self.segment = segment

    def load(self, place: Place) -> Any:
        from benchmarks.memory.networks import NETWORKS

        assert place.weights is not None
        return NETWORKS[self.name]().ours(place.weights)

    def unload(self, model: Any) -> None:
        """Nothing beyond the model itself."""

    def run(self, model: Any, inputs: Inputs, context: Context) -> Outputs:
        import torch

        seconds = inputs["audio"].seconds
        with torch.inference_mode():
            while seconds > 0:
                frames = round(min(self.segment, seconds) * self.rate)
                self.forward(model, torch.zeros(1, self.channels, frames))
                seconds -= self.segment
        return {"audio": inputs["audio"]}

    def forward(self, model: Any, sound: Any) -> Any:
        return model(sound)


class Htdemucs(Network):
    name, rate, channels = "htdemucs", 44_100, 2


class Hubert(Network):
    name = "hubert"

    def forward(self, model: Any, sound: Any) -> Any:
        return model(sound[:, 0])


class XttsVocoder(Network):
    """XTTS whole in memory; a run is its vocoder on the latents of `segment` seconds (21.5 latents a second)."""

    name = "xtts"
    rate = 22

    def forward(self, model: Any, sound: Any) -> Any:
        import torch

        return model.hifigan_decoder(torch.zeros(1, sound.shape[-1], 1024), g=torch.zeros(1, 512, 1))


class Killed(Network):
    """Its process is killed with signal 9 when it loads."""

    def load(self, place: Place) -> Any:
        import os

        os.kill(os.getpid(), 9)
