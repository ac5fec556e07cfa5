"""Arithmetic of chunks: sizes that ramp up, windows with exact context, cross-fades. Arrays in, arrays out; knows no model.

A chunk may be made alone only with the input its outputs can see. Where that reach (the receptive field) is known, a window carries
so much context on each side and the output made from the context is thrown away: the joined chunks equal one pass over everything.
Where it is not known, chunks overlap and the overlap is faded, with weights that add up to one: what both agree on stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]


def ramp(total: int, first: int, growth: float = 2.0, most: int | None = None) -> tuple[int, ...]:
    """Sizes that begin at `first`, grow by `growth` up to `most` and add up to `total`.

    No gap can follow from the growth itself while growth <= 1 / real-time factor: a chunk is made before the last one has been heard.
    A last chunk smaller than `first` is joined to the one before it.

    >>> ramp(40, 4, 2.0, 16)
    (4, 8, 16, 12)
    """
    if total < 0 or first < 1 or growth < 1:
        raise ValueError("total must be at least 0, first and growth at least 1.")
    sizes: list[int] = []
    size, left = float(first), total
    while left > 0:
        step = min(left, int(min(size, most or size)))
        sizes.append(step)
        left -= step
        size *= growth
    if len(sizes) > 1 and sizes[-1] < first:
        sizes[-2:] = [sizes[-2] + sizes[-1]]
    return tuple(sizes)


@dataclass(frozen=True, slots=True)
class Window:
    """Frames [start, stop) to make, from input frames [start - lead, stop + tail)."""

    start: int
    stop: int
    lead: int
    tail: int


def windows(total: int, sizes: Iterable[int], context: int, *, after: int | None = None) -> Iterator[Window]:
    """Windows of `sizes` over `total` frames with `context` before and `after` (default: the same) behind, less at the two ends."""
    after = context if after is None else after
    start = 0
    for size in sizes:
        stop = min(start + size, total)
        if stop > start:
            yield Window(start, stop, min(context, start), min(after, total - stop))
        start = stop


def windowed(frames: Any, make: Callable[[Any], Any], plan: Iterable[Window], hop: int = 1) -> Iterator[Any]:
    """`make(frames)` piece by piece. frames [..., n]; make gives [..., n * hop] for n frames. Context is made and thrown away."""
    for window in plan:
        made = make(frames[..., window.start - window.lead : window.stop + window.tail])
        yield made[..., window.lead * hop : (window.lead + window.stop - window.start) * hop]


def crossfade(pieces: Iterable[Samples], overlap: int) -> Iterator[Samples]:
    """Join pieces [..., n] of which each begins with the last `overlap` frames of the one before, made again. Equal gain, linear.

    Lengths add up exactly. Raises `ValueError` where two that meet are shorter than the overlap.
    """
    import numpy as np

    if overlap == 0:
        yield from (piece for piece in pieces if piece.shape[-1])
        return
    rise = np.linspace(0.0, 1.0, overlap + 2, dtype=np.float32)[1:-1]
    held: Samples | None = None
    for piece in pieces:
        if held is None:
            held = piece
        elif min(held.shape[-1], piece.shape[-1]) < overlap:
            raise ValueError(f"Pieces of {held.shape[-1]} and {piece.shape[-1]} frames cannot overlap by {overlap}.")
        else:
            mixed = held[..., -overlap:] * rise[::-1] + piece[..., :overlap] * rise
            held = np.concatenate([held[..., :-overlap], mixed, piece[..., overlap:]], axis=-1)
        if held.shape[-1] > overlap:
            yield held[..., :-overlap]
            held = held[..., -overlap:]
    if held is not None and held.shape[-1]:
        yield held
