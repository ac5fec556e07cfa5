"""What the header of a WAV, AIFF, AU or W64 file promises, and whether it is there. libsndfile takes what there is of one
that breaks off, silently."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

#: Bytes from which a size only says that it was not known: what writes to a pipe puts the largest its integers hold.
_UNKNOWN = 0x7FFFF000
_W64 = bytes.fromhex("2e91cf11a5d628db04c10000")
_W64_DATA = b"data" + bytes.fromhex("f3acd3118cd100c04f8edb8a")


def shortfall(path: Path) -> tuple[float, float] | None:
    """(seconds promised, seconds there) of a file that is shorter than its header says; None of any other file."""
    import soundfile

    with path.open("rb") as file:
        begin, promised = _sound_in(file)
    there = path.stat().st_size - begin
    if not 0 < there < promised:
        return None
    try:
        seconds = soundfile.info(str(path)).duration
    except soundfile.LibsndfileError:
        return None
    return seconds * promised / there, seconds


def _sound_in(file: BinaryIO) -> tuple[int, int]:
    """Where the sound begins, and its bytes by the header; zeros where that does not say."""
    head = file.read(40)
    begin, promised = 0, 0
    if head[:4] == b".snd" and len(head) >= 12:
        begin, promised = struct.unpack(">4xII", head[:12])
    elif head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        begin, promised = _chunk(file, 12, "<4sI", b"data")
    elif head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        begin, promised = _chunk(file, 12, ">4sI", b"SSND")
    elif head[:16] == b"riff" + _W64:
        return _chunk(file, 40, "<16sQ", _W64_DATA)  # its sizes are of 64 bits
    return begin, promised if promised < _UNKNOWN else 0


def _chunk(file: BinaryIO, at: int, form: str, wanted: bytes) -> tuple[int, int]:
    """Where the chunk `wanted` begins and its length, the chunks beginning at `at`."""
    size = struct.calcsize(form)
    # In a W64 file the length counts the chunk's head, too, and chunks begin at multiples of 8; elsewhere at even places.
    counted, even = (size, 8) if size == 24 else (0, 2)
    file.seek(at)
    while len(head := file.read(size)) == size:
        name, length = struct.unpack(form, head)
        length -= counted
        if name == wanted or length < 0:
            return (file.tell(), length) if length > 0 else (0, 0)
        file.seek(file.tell() + length + -length % even)
    return 0, 0
