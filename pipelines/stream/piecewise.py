"""Lets a node that knows only whole sounds work piece by piece, if it gives as many seconds of sound as it takes.

Chunks are what travels between nodes; a piece is a stretch of sound that is cut out of them for such a node.
The first piece is short, so that it is heard soon, and each next one longer. Every piece is made with some sound on both sides,
which is thrown away again. Where no output sample depends on more than that, the result equals one pass over the whole sound.
Where that is not known, pieces also overlap and are cross-faded: the result is then close to one pass, and no more is promised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.schema.values import Audio

if TYPE_CHECKING:
    from pipelines.schema.values import Samples


@dataclass(frozen=True, slots=True)
class CutSettings:
    """How to cut a sound. first, most: seconds of the first and of the longest piece. growth: of each piece to the next.

    reach: seconds given on each side of a piece whose output is thrown away. overlap: seconds that are made twice and
    cross-faded; 0 where the reach is exact.
    """

    first: float = 0.5
    growth: float = 1.5
    most: float = 8.0
    reach: float = 0.0
    overlap: float = 0.04

    def __post_init__(self) -> None:
        if not 0 < self.first <= self.most or self.growth < 1 or not 0 <= self.overlap <= self.first or self.reach < 0:
            raise ValueError(
                "Pieces need 0 <= overlap <= first <= most, first above 0, growth >= 1 and a reach of at least 0 s."
            )


def piecewise(convert: Callable[[Audio], Audio], chunks: Iterator[Audio], how: CutSettings) -> Iterator[Audio]:
    """`convert` of the joined chunks, piece by piece, each as soon as enough of `chunks` has come. Its sample rate may be another.

    Raises `ValueError` where a piece does not come back as long as it went in, or chunks differ in sample rate.
    """
    made = _made(convert, chunks, how)
    first = next(made, None)
    if first is None:
        return
    rate = first.rate
    for piece in crossfade(_samples(first, made), _whole_steps(how.overlap, rate)):
        if piece.shape[-1]:
            yield Audio.of(piece, rate)


def _samples(first: Audio, rest: Iterator[Audio]) -> Iterator[Samples]:
    yield first.read()
    for piece in rest:
        yield piece.read()


def _made(convert: Callable[[Audio], Audio], chunks: Iterator[Audio], how: CutSettings) -> Iterator[Audio]:
    """Converted pieces, each beginning with the last overlap of the one before, made again."""
    source = _Source(chunks)
    size, done = how.first, 0
    while source.fill(done + 1) > done:
        rate = source.rate
        overlap, reach = _whole_steps(how.overlap, rate), _whole_steps(how.reach, rate)
        want = max(1, _whole_steps(size, rate))
        have = source.fill(done + want + reach)
        stop = min(done + want, have)
        begin = max(0, done - overlap)
        first = max(0, begin - reach)
        taken = Audio.of(source.between(first, min(have, stop + reach)), rate)
        yield _cut(convert(taken), taken, begin - first, stop - first)
        done = stop
        source.forget(done - overlap - reach)
        size = min(size * how.growth, how.most)


def _whole_steps(seconds: float, rate: int) -> int:
    """About `seconds` as frames, in steps of 20 ms where the rate has such: a whole number of frames at the usual other rates too."""
    return round(seconds * 50) * (rate // 50) if rate % 50 == 0 and seconds >= 0.02 else round(seconds * rate)


def _cut(made: Audio, taken: Audio, start: int, stop: int) -> Audio:
    """What was made of frames [start, stop) of `taken`. Raises `ValueError` where the length of `made` is another."""
    if made.rate != taken.rate and (made.rate % 50 or taken.rate % 50):
        raise ValueError(f"From {taken.rate} to {made.rate} Hz pieces do not come out at whole frames.")
    if made.frames != round(taken.frames * made.rate / taken.rate):
        raise ValueError(
            f"{taken.seconds:.3f} s came back as {made.seconds:.3f} s: this node cannot work piece by piece."
        )
    first, last = (round(at * made.rate / taken.rate) for at in (start, stop))
    return Audio.of(made.read(first, last), made.rate)


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


class _Source:
    """Incoming chunks as one growing sound, of which what lies behind is dropped."""

    def __init__(self, chunks: Iterator[Audio]) -> None:
        import numpy as np

        self._chunks, self._held, self._offset, self.rate = chunks, np.zeros((1, 0), np.float32), 0, 0

    def fill(self, stop: int) -> int:
        """Read until frame `stop` has come or no more does. Returns how many there are."""
        import numpy as np

        while self._offset + self._held.shape[1] < stop:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            if self.rate not in (0, chunk.rate):
                raise ValueError(f"A chunk has {chunk.rate} Hz where those before had {self.rate}.")
            self.rate = chunk.rate
            samples = chunk.read()
            self._held = samples if not self._held.shape[1] else np.concatenate([self._held, samples], axis=1)
        return self._offset + self._held.shape[1]

    def between(self, start: int, stop: int) -> Samples:
        return self._held[:, start - self._offset : stop - self._offset]

    def forget(self, before: int) -> None:
        if before > self._offset:
            self._held = self._held[:, before - self._offset :]
            self._offset = before
