"""The last node of a pipeline that makes sound: a WAV file."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from nodes.audio.writing import wav_writer
from pipelines.schema.errors import TaskFailed
from pipelines.schema.names import safe_name
from pipelines.schema.node import Context, Inputs, Outputs, Plain, Port
from pipelines.schema.values import Audio, File, Value

if TYPE_CHECKING:
    from pipelines.schema.values import Samples

#: soundfile's names of what a WAV may hold, and the most frames a block has.
FORMATS = {"pcm16": "PCM_16", "pcm24": "PCM_24", "float": "FLOAT"}
_BLOCK = 1 << 18


class Wav(Plain):
    """Writes sound as a WAV file, block by block.

    Takes `audio`; gives `file`, at the rate and in the channels of the sound.
    Licence: Apache-2.0 (this project). Figures: none; a block is in memory at a time.

    format: of the samples, pcm16 | pcm24 | float.
    name: of the file, no path and no ending (null: the item's own).
    """

    inputs: ClassVar[Mapping[str, Port]] = {"audio": Port("audio", "what to write")}
    outputs: ClassVar[Mapping[str, Port]] = {"file": Port("file", "the WAV file")}

    def __init__(self, format: str = "pcm16", name: str | None = None) -> None:  # noqa: A002 - the knob's plain name
        if format not in FORMATS:
            raise ValueError(f"format {format!r} must be one of {', '.join(FORMATS)}.")
        if name is not None and (not name or name != name.strip() or any(c in name for c in "/\\:\0")):
            raise ValueError(f"name {name!r} must be a file name without folders.")
        self.format, self.name = format, name

    def run(self, model: None, inputs: Inputs, context: Context) -> Outputs:
        """`file` in the task's folder. Sound louder than full scale is clipped in whole-number formats, and that is said.

        Raises `TaskFailed` for sound that is empty or has samples that are not numbers.
        """
        audio = inputs["audio"]
        assert isinstance(audio, Audio)
        blocks = _reporting(audio.blocks(_BLOCK), audio.frames, context)
        return {"file": self._written(blocks, audio.rate, audio.channels, context)}

    def stream(self, model: None, inputs: Inputs, chunks: Iterator[Value] | None, context: Context) -> Iterator[Value]:
        """The same, written as the sound arrives; gives the file at its end. Raises as `run` does, and where the rate changes."""
        sounds = (chunk for chunk in chunks or [inputs["audio"]] if isinstance(chunk, Audio))
        first = next(sounds, Audio.of([], 8000))
        blocks = _of_one_kind(itertools.chain([first], sounds), first)
        yield self._written(blocks, first.rate, first.channels, context)

    def _written(self, blocks: Iterator[Samples], rate: int, channels: int, context: Context) -> File:
        import numpy as np

        name = self.name or safe_name(context.item, "sound")
        path, loudest, frames = context.folder / f"{name}.wav", 0.0, 0
        with wav_writer(path, rate, channels, FORMATS[self.format]) as out:
            for block in blocks:
                if not np.isfinite(block).all():
                    raise TaskFailed("The sound to write has samples that are not numbers (NaN or infinite).")
                loudest, frames = max(loudest, float(np.abs(block).max(initial=0.0))), frames + block.shape[1]
                out.write(block.T)
        if not frames:
            raise TaskFailed("The sound to write is empty. Check the step before.")
        if loudest > 1 and self.format != "float":
            context.warn(
                f"{path.name} was clipped: the loudest sample is {20 * np.log10(loudest):.1f} dB over full scale."
            )
        return File(path)


def _reporting(blocks: Iterator[Samples], frames: int, context: Context) -> Iterator[Samples]:
    """`blocks`, and how far along they are."""
    for index, block in enumerate(blocks):
        yield block
        context.progress(min((index + 1) * _BLOCK / frames, 1.0))


def _of_one_kind(sounds: Iterator[Audio], first: Audio) -> Iterator[Samples]:
    for sound in sounds:
        if (sound.rate, sound.channels) != (first.rate, first.channels):
            raise TaskFailed(
                f"The sound to write changes from {first.rate} Hz and {first.channels} channels to "
                f"{sound.rate} Hz and {sound.channels}."
            )
        yield sound.read()
