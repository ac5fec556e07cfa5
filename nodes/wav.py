"""The end of a pipeline that makes sound: a WAV file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Context, Inputs, Outputs, Plain, Port
from pipelines.schema.values import Audio, File

#: soundfile's names of what a WAV may hold, and the most frames a block has.
FORMATS = {"pcm16": "PCM_16", "pcm24": "PCM_24", "float": "FLOAT"}
_BLOCK = 1 << 18


class Wav(Plain):
    """Writes its input as `<name>.wav`, block by block. format: pcm16 | pcm24 | float. name: null is the item's own."""

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
        import numpy as np
        import soundfile

        audio = inputs["audio"]
        assert isinstance(audio, Audio)
        if not audio.frames:
            raise TaskFailed("The sound to write is empty. Check the step before.")
        path, loudest = context.folder / f"{self.name or _file_name(context.item)}.wav", 0.0
        context.folder.mkdir(parents=True, exist_ok=True)
        with soundfile.SoundFile(path, "w", audio.rate, audio.channels, FORMATS[self.format], format="RF64") as out:
            for index, block in enumerate(audio.blocks(_BLOCK)):
                if not np.isfinite(block).all():
                    raise TaskFailed("The sound to write has samples that are not numbers (NaN or infinite).")
                loudest = max(loudest, float(np.abs(block).max()))
                out.write(block.T)
                context.progress(min((index + 1) * _BLOCK / audio.frames, 1.0))
        if loudest > 1 and self.format != "float":
            context.warn(
                f"{path.name} was clipped: the loudest sample is {20 * np.log10(loudest):.1f} dB over full scale."
            )
        return {"file": File(path)}


def _file_name(item: str) -> str:
    return item.replace("/", "_").replace("\\", "_") or "sound"
