"""What a WAV file's header promises, and whether it is there. libsndfile takes what there is of one that breaks off, silently."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

#: Bytes from which a size only says that it was not known: what writes to a pipe puts the largest its integers hold.
_UNKNOWN = 0x7FFFF000


def shortfall(path: Path) -> tuple[float, float] | None:
    """(seconds promised, seconds there) of a WAV file that is shorter than its header says; None of any other file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        magic, _, form = _unpacked("<4sI4s", file.read(12))
        if (magic, form) != (b"RIFF", b"WAVE"):
            return None
        per_second = 0
        while len(head := file.read(8)) == 8:
            name, length = _unpacked("<4sI", head)
            if name == b"data":
                there = size - file.tell()
                whole = not per_second or length >= _UNKNOWN or there >= length
                return None if whole else (length / per_second, there / per_second)
            body = file.tell()
            if name == b"fmt ":
                (per_second,) = _unpacked("<8xI", file.read(12))
            file.seek(body + length + length % 2)  # chunks begin at even places
    return None


def _unpacked(form: str, data: bytes) -> tuple[Any, ...]:
    """Fields of `data`; zeros where it is too short."""
    size = struct.calcsize(form)
    return struct.unpack(form, data[:size].ljust(size, b"\0"))
