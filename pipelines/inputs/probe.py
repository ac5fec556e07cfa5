"""What a file's header says of its sound. Nothing is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipelines.inputs.decoders import by_av, by_soundfile, quiet
from pipelines.schema.errors import TaskFailed


@dataclass(frozen=True, slots=True)
class SoundHeader:
    """The length of a file's sound in seconds and how many channels it has."""

    seconds: float
    channels: int


def probe(path: Path) -> SoundHeader:
    """The header of a sound file. Raises `TaskFailed` for what is no regular file or holds no sound."""
    if not path.is_file():
        raise TaskFailed(f"{path} is not a regular file. Save the sound as a file first.")
    if path.stat().st_size == 0:
        raise TaskFailed(f"{path} is empty. Is it still being written?")
    with quiet(path):
        audio = by_soundfile(path)
    header = SoundHeader(audio.seconds, audio.channels) if audio else _probe_by_av(path)
    if header.seconds <= 0:
        raise TaskFailed(f"{path} holds no sound: its length is zero.")
    return header


def _probe_by_av(path: Path) -> SoundHeader:
    with by_av(path) as (container, stream):
        duration = stream.duration * stream.time_base if stream.duration else (container.duration or 0) / 1_000_000
        return SoundHeader(float(duration), stream.channels)
