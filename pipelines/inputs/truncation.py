"""Finds WAV, AIFF, AU and W64 files that end before their header says: libsndfile reads what is there of one, silently."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

#: From here on a size in a header only says that it was not known: what writes to a pipe puts the largest its integers hold.
_UNKNOWN = 0x7FFFF000


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Seconds of sound that a file's header promises, and seconds that are there."""

    promised: float
    there: float


@dataclass(frozen=True, slots=True)
class _Chunks:
    """How a format lays out its chunks.

    first : where the first begins, in bytes. head : the `struct` format of a chunk's name and length.
    sound : the name of the chunk that holds the sound. align : chunks begin at multiples of so many bytes.
    counts_head : whether a chunk's length counts its head.
    """

    first: int
    head: str
    sound: bytes
    align: int = 2
    counts_head: bool = False


_WAV = _Chunks(12, "<4sI", b"data")
_AIFF = _Chunks(12, ">4sI", b"SSND")
_W64_MARK = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
_W64 = _Chunks(40, "<16sQ", b"data" + bytes.fromhex("f3acd3118cd100c04f8edb8a"), align=8, counts_head=True)


def shortfall(path: Path) -> Shortfall | None:
    """How much is missing of a file that is shorter than its header says; None for any other file."""
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
    return Shortfall(seconds * promised / there, seconds)


def _sound_in(file: BinaryIO) -> tuple[int, int]:
    """Where the sound begins, and how many bytes it has by the header; zeros where that does not say."""
    head = file.read(40)
    begin, promised = 0, 0
    if head[:4] == b".snd" and len(head) >= 12:
        begin, promised = struct.unpack(">4xII", head[:12])
    elif head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        begin, promised = _find_sound(file, _WAV)
    elif head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        begin, promised = _find_sound(file, _AIFF)
    elif head[:16] == _W64_MARK:
        return _find_sound(file, _W64)  # its sizes have 64 bits, none of which says unknown
    return begin, promised if promised < _UNKNOWN else 0


def _find_sound(file: BinaryIO, chunks: _Chunks) -> tuple[int, int]:
    """Where the chunk of sound begins and its length in bytes; zeros where there is none."""
    size = struct.calcsize(chunks.head)
    file.seek(chunks.first)
    while len(head := file.read(size)) == size:
        name, length = struct.unpack(chunks.head, head)
        length -= size if chunks.counts_head else 0
        if name == chunks.sound or length < 0:
            return (file.tell(), length) if length > 0 else (0, 0)
        file.seek(file.tell() + length + -length % chunks.align)
    return 0, 0
