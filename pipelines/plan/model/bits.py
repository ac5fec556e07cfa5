"""Sets of small numbers as the bits of an int."""

from __future__ import annotations


def bits(mask: int) -> list[int]:
    """The set bits of `mask`, lowest first.

    >>> bits(0b1010)
    [1, 3]
    """
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found
