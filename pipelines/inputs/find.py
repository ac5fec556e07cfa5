"""What `input=` names: files, globs, folders, lists and tables, as rows of a file and its settings."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pipelines.inputs.tables import SUFFIXES, Row, read_table
from pipelines.schema.errors import TaskFailed, UsageError

#: Extensions taken when a folder is named. Anything else may still be named file by file.
SOUND = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac", ".mp4", ".aif", ".aiff", ".wma", ".webm")


def find_rows(spec: Any) -> Iterator[Row]:
    """The rows that `spec`, the value of `input=`, names: one name, or a list of them; none where it is None.

    Files of a folder or a glob come sorted by name, rows of a table in its order. Raises `UsageError` for an empty name, folder
    or table, `TaskFailed` for what is not there.
    """
    if spec is None:
        return
    for entry in map(str, spec if isinstance(spec, list | tuple) else [spec]):
        if not entry.strip():
            raise UsageError("input= names nothing. Give a sound file, a glob, a folder, or a .csv or .jsonl table.")
        path = Path(entry).expanduser()
        if path.suffix.lower() in SUFFIXES and path.is_file():
            yield from read_table(path)
        else:
            yield from ((found, {}) for found in _files(entry, path))


def refuse_missing(key: str, name: str) -> None:
    """Raise `TaskFailed` where `name`, the value of the setting `key`, is no file that can be opened."""
    path = Path(name).expanduser()
    try:
        if path.is_file():
            return
        why = "it is a folder" if path.is_dir() else "there is no such file"
    except (OSError, ValueError) as error:
        why = _reason(error)
    raise TaskFailed(f"{key}={name} cannot be opened: {why}.")


def _files(entry: str, path: Path) -> list[Path]:
    try:
        path.stat()
    except FileNotFoundError:
        return _matching_files(entry, path)
    except (OSError, ValueError) as error:
        raise TaskFailed(f"input={entry!r} cannot be opened: {_reason(error).rstrip('.')}.") from None
    return _sounds_in(path) if path.is_dir() else [path]


def _sounds_in(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SOUND and not path.name.startswith("."))
    if not found:
        raise UsageError(f"The folder {folder} holds no sound files ({', '.join(SOUND)}).")
    return found


def _matching_files(entry: str, path: Path) -> list[Path]:
    found = sorted(Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file())
    if found:
        return found
    if glob.has_magic(entry):
        raise TaskFailed(f"No file matches {entry!r}. Check input=.")
    raise TaskFailed(f"There is no file {entry!r}. {_near(entry, path)}")


def _near(entry: str, path: Path) -> str:
    """What `input=` was probably meant to name."""
    names = [name.strip() for name in entry.split(",")]
    if len(names) > 1 and all(Path(name).exists() for name in names):
        return f"For several write 'input=[{','.join(names)}]'."
    beside = [found.name for found in path.parent.iterdir()] if path.parent.is_dir() else []
    near = get_close_matches(path.name, beside, 1)
    return f"Did you mean {str(path.parent / near[0])!r}?" if near else "Check input=."


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
