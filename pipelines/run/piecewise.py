"""Makes any node that gives as much sound as it takes answer piece by piece, though it knows only whole sounds.

Pieces ramp up from small, so that the first is heard soon. Where the node's reach is known (seconds of sound around a sample that it
depends on), each piece is made with that much context on both sides, which is thrown away: the result equals one pass. Where it is not
known, pieces overlap and are cross-faded; that is close to one pass where the node treats both alike, and no more is promised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.run.chunks import crossfade
from pipelines.schema.values import Audio

if TYPE_CHECKING:
    from pipelines.schema.values import Samples


@dataclass(frozen=True, slots=True)
class Pieces:
    """How to cut. first, most: seconds of the first and of the longest piece. growth: of each to the next.

    reach: seconds on each side that an output sample depends on; None where that is not known. overlap: seconds, then.
    """

    first: float = 0.5
    growth: float = 1.5
    most: float = 8.0
    reach: float | None = None
    overlap: float = 0.05

    def __post_init__(self) -> None:
        if (
            not 0 < self.first <= self.most
            or self.growth < 1
            or not 0 <= self.overlap <= self.first
            or (self.reach or 0) < 0
        ):
            raise ValueError(
                "Pieces need 0 <= overlap <= first <= most, first above 0, growth >= 1 and a reach of at least 0 s."
            )


def piecewise(convert: Callable[[Audio], Audio], chunks: Iterator[Audio], how: Pieces) -> Iterator[Audio]:
    """`convert` of the joined chunks, piece by piece, each as soon as enough of `chunks` has come.

    Raises `ValueError` where a piece does not come back as long as it went in, or chunks differ in sample rate.
    """
    made = _made(convert, chunks, how)
    first = next(made, None)
    if first is None:
        return
    rate = first[1]
    samples = _chain(first[0], made)
    faded = samples if how.reach is not None else crossfade(samples, round(how.overlap * rate))
    for piece in faded:
        if piece.shape[-1]:
            yield Audio.of(piece, rate)


def _chain(first: Samples, rest: Iterator[tuple[Samples, int]]) -> Iterator[Samples]:
    yield first
    for piece, _ in rest:
        yield piece


def _made(convert: Callable[[Audio], Audio], chunks: Iterator[Audio], how: Pieces) -> Iterator[tuple[Samples, int]]:
    """Converted pieces with their rate: exact ones without overlap, or ones that begin with the last overlap of the one before."""
    source = _Source(chunks)
    size, done = how.first, 0
    while source.fill(done + 1) > done:
        rate = source.rate
        lead, tail = (how.overlap, 0.0) if how.reach is None else (how.reach, how.reach)
        want = max(1, round(size * rate))
        have = source.fill(done + want + round(tail * rate))
        stop = min(done + want, have)
        begin = max(0, done - round(lead * rate))
        piece = source.between(begin, min(have, stop + round(tail * rate)))
        sound = convert(Audio.of(piece, rate)).read()
        if sound.shape[-1] != piece.shape[-1]:
            raise ValueError(
                f"{piece.shape[-1]} frames came back as {sound.shape[-1]}: this node cannot work piece by piece."
            )
        yield (sound if how.reach is None else sound[:, done - begin : stop - begin]), rate
        done = stop
        source.forget(done - round(lead * rate))
        size = min(size * how.growth, how.most)


class _Source:
    """Incoming chunks as one growing sound of which the past is forgotten."""

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
