"""Files on disk: written whole or not at all, hashed, and locked across processes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock


def write_atomic(path: Path, text: str) -> None:
    """Write `text` as UTF-8 so that a reader sees the old file or the new one, never half of it.

    The folder must exist. The bytes are not forced onto the disk: after a loss of power the file may be missing or empty.
    Raises `OSError`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes as they are now, in hex. Raises `OSError`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_lock(path: Path, *, wait: bool = True) -> BaseFileLock:
    """A lock for `with`, one holder at a time across processes, on the file `path`, which is made and then left there.

    wait: False raises `TimeoutError` where another holds it. Raises `OSError` where the file cannot be made or the file
    system knows no locks. The operating system releases the lock of a process that ends, in whatever way.
    """
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path, blocking=wait, thread_local=False)
