"""SwiftF0: a pitch tracker of 14,386 parameters that runs on the CPU, so that a card is free for others. Weights in its wheel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from nodes.audio.reading import mono_blocks
from nodes.loading.faults import reading
from pipelines.schema.node import Context, Inputs, Outputs, Place, Port
from pipelines.schema.values import Audio, Contour

_RATE = 16000
#: Seconds at once. ONNX Runtime's arena never gives back: with ten it grew to 60 MiB and beyond, the pitches are the same.
_BLOCK = 2.0


class Swift:
    """Pitch of one voice, by a network of 14,386 parameters on the CPU.

    Takes `audio`, at any rate and in any channels; gives `contour`, Hz and confidence every 16 ms, voiced or not.
    Licence: MIT (swift-f0, weights in its wheel). Figures: `conf/model/pitch/swift_f0.yaml`.

    low, high: the range of the pitch, 46 to 2094 Hz.
    threads: of ONNX Runtime, at least 1 (null: all cores).
    """

    inputs: ClassVar[Mapping[str, Port]] = {"audio": Port("audio", "one voice")}
    outputs: ClassVar[Mapping[str, Port]] = {"contour": Port("contour", "pitch and confidence, 16 ms a frame")}

    def __init__(self, low: float = 46.875, high: float = 2093.75, threads: int | None = None) -> None:
        if not 46 <= low < high <= 2094 or (threads is not None and threads < 1):
            raise ValueError(f"It must be 46 <= low {low} < high {high} <= 2094 Hz, and threads {threads} at least 1.")
        self.low, self.high, self.threads = low, high, threads

    def load(self, place: Place) -> Any:
        """The detector; `place` is not used, for it runs on the CPU with its own weights."""
        from swift_f0 import SwiftF0

        with reading("SwiftF0's own model", "Install swift-f0 again."):
            # A spinning pool would keep cores busy while other models work.
            return SwiftF0(threads=self.threads, spin=False)

    def unload(self, model: Any) -> None:
        """Nothing of it is held elsewhere."""

    def run(self, model: Any, inputs: Inputs, context: Context) -> Outputs:
        """`contour`, streamed: memory does not grow with the sound. Raises `TaskFailed` for empty sound or NaN."""
        import numpy as np

        audio = inputs["audio"]
        assert isinstance(audio, Audio)
        stream, parts, frames = model.stream(self.low, self.high), [], 0
        for block in mono_blocks(audio, "The sound to track", _RATE, _BLOCK):
            parts.append(stream.push(block, _RATE))
            frames += len(block)
            context.progress(min(frames / _RATE / audio.seconds, 1.0), "pitch")
        parts.append(stream.flush())
        times, hertz, confidence = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("timestamps", "pitch_hz", "confidence")
        )
        return {"contour": Contour(times, hertz, confidence)}
