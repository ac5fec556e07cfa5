"""Bytes and seconds as people write and read them. Inside the program bytes are `int` and times are `float` seconds."""

from __future__ import annotations

import math
import re

KIB, MIB, GIB = 1024, 1024**2, 1024**3
#: Above this no file, card or machine makes sense, and JSON readers elsewhere would round the number.
MAX_BYTES = 2**53

_UNITS = {
    "": 1, "b": 1,
    "kib": KIB, "mib": MIB, "gib": GIB, "tib": 1024**4,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
}  # fmt: skip
_SIZE = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*$")


def parse_bytes(text: str | int | float) -> int:
    """Bytes of `3 GiB`, `410MiB`, `1.5 GB` or a bare whole number. Raises `ValueError` with a sentence.

    >>> parse_bytes("1.5 GiB")
    1610612736
    """
    if isinstance(text, bool) or not isinstance(text, (str, int, float)):
        raise ValueError(f"{text!r} is not a size; write it like '3 GiB'.")
    match = _SIZE.match(str(text))
    if match is None or match[2].lower() not in _UNITS:
        raise ValueError(f"{text!r} is not a size; write it like '3 GiB', '410 MiB' or a whole number of bytes.")
    value = float(match[1]) * _UNITS[match[2].lower()]
    if not math.isfinite(value) or value > MAX_BYTES:
        raise ValueError(f"{text!r} is larger than any device; write it like '3 GiB'.")
    return int(match[1]) * _UNITS[match[2].lower()] if match[1].isdigit() else round(value)


def format_bytes(count: int) -> str:
    """`count` bytes for a person: MiB below 10 GiB (so that sums can be checked by eye), GiB above.

    >>> format_bytes(429916160)
    '410 MiB'
    """
    if abs(count) >= 10 * GIB:
        return f"{count / GIB:,.1f} GiB"
    if abs(count) >= 10 * MIB or count == 0:
        return f"{count / MIB:,.0f} MiB"
    return f"{count / MIB:.1f} MiB" if abs(count) >= MIB // 10 else f"{count} B"


def format_seconds(seconds: float) -> str:
    """`seconds` for a person.

    >>> format_seconds(83.2)
    '1 min 23 s'
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
