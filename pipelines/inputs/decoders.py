"""The two libraries that read sound, each behind one function that turns its errors into ours: libsndfile, and FFmpeg by av."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.schema.errors import TaskFailed
from pipelines.schema.values import Audio


def by_soundfile(path: Path) -> Audio | None:
    """The sound of a file that libsndfile knows, by its header; None where it does not."""
    import soundfile

    try:
        return Audio.open(path)
    except soundfile.LibsndfileError:
        return None


@contextmanager
def by_av(path: Path) -> Iterator[tuple[Any, Any]]:
    """(container, its first stream of sound) of a file opened by FFmpeg. Raises `TaskFailed`, for what is done with it too."""
    try:
        import av
    except ImportError:
        raise TaskFailed(
            f"{path} is not a sound file soundfile can read. For m4a and others: pip install 'headroom-runner[audio]'."
        ) from None
    try:
        with av.open(str(path)) as container:
            yield container, container.streams.audio[0]
    except (OSError, ValueError, IndexError) as error:
        why = getattr(error, "strerror", None) or error
        raise TaskFailed(f"{path} cannot be read as sound ({why}). Is it complete, and is it audio?") from None


@contextmanager
def quiet(path: Path) -> Iterator[None]:
    """Drop what mpg123, inside libsndfile, writes to stderr about MP3 files: our own messages name the file.

    The whole process's stderr is silent meanwhile, so only one caller may be in here at a time.
    """
    if path.suffix.lower() != ".mp3":
        yield
        return
    sys.stderr.flush()
    saved, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)
