"""Makes any node that gives as much sound as it takes answer piece by piece, though it knows only whole sounds.

Pieces ramp up from small, so that the first is heard soon. Each is made with some sound on both sides, which is thrown away. Where
that is all an output sample depends on, the result equals one pass. Where it is not known, pieces also overlap and are cross-faded:
close to one pass where the node treats both alike, and no more is promised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.schema.values import Audio
from pipelines.stream.chunks import crossfade

if TYPE_CHECKING:
    from pipelines.schema.values import Samples


@dataclass(frozen=True, slots=True)
class Pieces:
    """How to cut. first, most: seconds of the first and of the longest piece. growth: of each to the next.

    reach: seconds heard on each side and thrown away. overlap: seconds made twice and faded; 0 where the reach is exact.
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


def piecewise(convert: Callable[[Audio], Audio], chunks: Iterator[Audio], how: Pieces) -> Iterator[Audio]:
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


def _made(convert: Callable[[Audio], Audio], chunks: Iterator[Audio], how: Pieces) -> Iterator[Audio]:
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
        heard = Audio.of(source.between(first, min(have, stop + reach)), rate)
        yield _cut(convert(heard), heard, begin - first, stop - first)
        done = stop
        source.forget(done - overlap - reach)
        size = min(size * how.growth, how.most)


def _whole_steps(seconds: float, rate: int) -> int:
    """About `seconds` as frames, in steps of 20 ms where the rate has such: a whole number of frames at the usual other rates too."""
    return round(seconds * 50) * (rate // 50) if rate % 50 == 0 and seconds >= 0.02 else round(seconds * rate)


def _cut(made: Audio, heard: Audio, start: int, stop: int) -> Audio:
    """What was made of frames [start, stop) of `heard`. Raises `ValueError` where the length of `made` is another."""
    if made.rate != heard.rate and (made.rate % 50 or heard.rate % 50):
        raise ValueError(f"From {heard.rate} to {made.rate} Hz pieces do not come out at whole frames.")
    if made.frames != round(heard.frames * made.rate / heard.rate):
        raise ValueError(
            f"{heard.seconds:.3f} s came back as {made.seconds:.3f} s: this node cannot work piece by piece."
        )
    first, last = (round(at * made.rate / heard.rate) for at in (start, stop))
    return Audio.of(made.read(first, last), made.rate)


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
