"""Hybrid Transformer Demucs by the library's own network, from a local model folder, in memory that no track length changes.

The library keeps a whole track and all its stems in RAM, several times over. Here a segment at a time is read, separated
and laid over the one before exactly as `demucs.apply.apply_model` does (without random shifts), and what is finished is
written. Vocals are what the network says; the instrumental is the mix less the vocals, which needs no other network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from nodes.audio.forward_reader import ForwardReader
from nodes.separate.stems import write_stems
from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Context, Inputs, Outputs, Place, Port
from pipelines.schema.values import Audio

if TYPE_CHECKING:
    import torch

    from nodes.separate.demucs.model import Bag
    from pipelines.schema.values import Samples


class Demucs:
    """Voice and rest by a trained network.

    Takes `audio`, at any rate and in any channels; gives `vocals` and `instrumental`, float32 [2, frames] at 44,100 Hz with the
    published networks, as long as the mix; the two sum to it.
    Licence: MIT (demucs, weights and code). Figures: `conf/model/separate/htdemucs.yaml`, `htdemucs_ft.yaml`.

    name: the bag or signature in the model folder.
    segment: seconds at once, 0.5 to 60 and at most what the network was trained with; working memory is linear in it.
    overlap: of neighbouring segments, 0 to 0.9.
    stem: what counts as the voice.
    """

    inputs: ClassVar[Mapping[str, Port]] = {"audio": Port("audio", "the mix")}
    outputs: ClassVar[Mapping[str, Port]] = {
        "vocals": Port("audio", "the singing, at the network's rate and number of channels"),
        "instrumental": Port("audio", "the mix without it; the two sum to the mix"),
    }

    def __init__(
        self, name: str = "htdemucs", segment: float = 7.8, overlap: float = 0.25, stem: str = "vocals"
    ) -> None:
        if not 0.5 <= segment <= 60 or not 0 <= overlap <= 0.9:
            raise ValueError(f"segment {segment} must be 0.5 to 60 s and overlap {overlap} 0 to 0.9.")
        self.name, self.segment, self.overlap, self.stem = name, segment, overlap, stem

    def load(self, place: Place) -> Bag:
        """The networks that the stem needs, on `place.device`, from the folder `place.weights`. Raises `TaskFailed`."""
        from nodes.separate.demucs.model import load_bag

        if place.weights is None or not place.weights.exists():
            raise TaskFailed(f"{self.name} needs a demucs model folder, and there is none at {place.weights}.")
        folder = place.weights if place.weights.is_dir() else place.weights.parent
        return load_bag(folder, self.name, self.stem, self.segment, place.device)

    def unload(self, model: Any) -> None:
        """Nothing of it is held elsewhere."""

    def run(self, model: Any, inputs: Inputs, context: Context) -> Outputs:
        """`vocals` and `instrumental`, float files in the task's folder. Raises `TaskFailed` for empty sound or NaN."""
        mix = inputs["audio"]
        assert isinstance(mix, Audio)
        sound = ForwardReader(mix, "The mix", model.rate, model.channels)
        pieces = self._separated(model, sound, context)
        return write_stems(pieces, model.rate, model.channels, context)

    def _separated(self, bag: Bag, sound: ForwardReader, context: Context) -> Iterator[tuple[Samples, Samples]]:
        """(mix, stem) pieces [channels, n] in order."""
        import torch

        length, mean, deviation = sound.survey()
        size = int(bag.segment * bag.rate)
        stride = int((1 - self.overlap) * size)
        rise = torch.cat([torch.arange(1, size // 2 + 1), torch.arange(size - size // 2, 0, -1)])
        weight = (rise / rise.max()).float()
        total, weights = torch.zeros(bag.channels, size), torch.zeros(size)
        for start in range(0, length, stride):
            inside = min(size, length - start)
            before = (size - inside) // 2  # a short last segment is surrounded by what is before it, and zeros
            chunk = torch.from_numpy((sound.read(start - before, size) - mean) / deviation)
            chunk[:, : max(0, before - start)] = 0
            chunk[:, length - start + before :] = 0
            made = _stem_of(bag, chunk.to(context.device)).cpu()[:, before : before + inside]
            total[:, :inside] += weight[:inside] * made
            weights[:inside] += weight[:inside]
            done = min(stride, inside)
            voice = (total[:, :done] / weights[:done] * deviation + mean).numpy()
            yield sound.read(start, done), voice
            total = torch.nn.functional.pad(total[:, done:], (0, done))
            weights = torch.nn.functional.pad(weights[done:], (0, done))
            context.progress((start + done) / length, "separating")


def _stem_of(bag: Bag, chunk: torch.Tensor) -> torch.Tensor:
    """What the bag's networks say of one normalised segment [channels, frames]."""
    import torch

    with torch.inference_mode():
        made = torch.zeros_like(chunk)
        for part in bag.parts:
            made += part.net(chunk[None])[0, bag.stem] * part.share
    return made
