"""Sound written as it is made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def wav_writer(path: Path, rate: int, channels: int, subtype: str = "FLOAT") -> Iterator[Any]:
    """A new WAV file of `channels` channels at `rate` Hz, whose `write` takes [frames, channels]. Its folder is made.

    subtype: soundfile's name of the samples' format. Past 4 GiB the file becomes RF64, which WAV readers know.
    """
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(path, "w", rate, channels, subtype, format="RF64") as file:
        yield file
