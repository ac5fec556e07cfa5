"""Lyrics that a setting or a table's cell names as a file."""

from __future__ import annotations

from pathlib import Path

from pipelines.schema.errors import TaskFailed


def read_lyrics(path: Path) -> str:
    """The words in a file of UTF-8 text. Raises `TaskFailed`."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise TaskFailed(f"lyrics={path} cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise TaskFailed(f"lyrics={path} is not UTF-8 text.") from None
