"""Where in a long sound somebody speaks or sings, and its samples a stretch at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pipelines.schema.values import Samples

#: Samples a second, and seconds a frame of levels.
RATE, FRAME = 16000, 0.01
_HOP = int(RATE * FRAME)
#: Quieter than this against the loud parts (40 dB), or than -60 dB of full scale, is silence.
_QUIET, _FAINT = 0.01, 1e-3
#: Seconds: a shorter silence does not part two stretches; this much before and after belongs to each.
_GAP, _MARGIN = 0.6, 0.2
#: The level its loudest frame is brought to, and that of the noise under it.
_LOUD, _NOISE = 0.3, 0.009


@dataclass(frozen=True, slots=True)
class Stretch:
    """Seconds in the sound."""

    start: float
    end: float


def levels(blocks: Iterable[Samples]) -> NDArray[np.float32]:
    """Root mean square of every `FRAME` of mono sound at `RATE`."""
    found, held = [np.zeros(0, np.float32)], np.zeros(0, np.float32)
    for block in blocks:
        held = np.concatenate([held, block])
        whole = len(held) // _HOP * _HOP
        found.append(np.sqrt(np.mean(held[:whole].reshape(-1, _HOP) ** 2, axis=1)))
        held = held[whole:]
    return np.concatenate(found)


def stretches(level: NDArray[np.float32], longest: float) -> list[Stretch]:
    """The parts that are not silent, none longer than `longest` seconds, cut where they are quietest."""
    if not len(level):
        return []
    loud = np.flatnonzero(level > max(_FAINT, _QUIET * float(np.quantile(level, 0.95))))
    if not len(loud):
        return []
    parts = np.split(loud, np.flatnonzero(np.diff(loud) * FRAME > _GAP) + 1)
    margin, found = round(_MARGIN / FRAME), []
    for part in parts:
        first, last = max(int(part[0]) - margin, 0), min(int(part[-1]) + 1 + margin, len(level))
        found += [Stretch(a * FRAME, b * FRAME) for a, b in _cut(level, first, last, round(longest / FRAME))]
    return found


def _cut(level: NDArray[np.float32], first: int, last: int, longest: int) -> Iterator[tuple[int, int]]:
    while last - first > longest:
        reach = level[first + longest // 2 : first + longest]
        smooth = np.convolve(reach, np.ones(5), "same")
        at = first + longest // 2 + int(np.argmin(smooth))
        yield first, at
        first = at
    yield first, last


class PcmReader:
    """Sound that is read once, forward, as 16-bit PCM; what lies before the last place asked for is let go.

    All is made equally loud, and gets the same little noise every time: a separated voice has holes in its spectrum, of which
    cepstra make nonsense.
    """

    def __init__(self, blocks: Iterator[Samples], loudest: float) -> None:
        self._blocks, self._gain, self._random = blocks, _LOUD / max(loudest, _FAINT), np.random.default_rng(0)
        self._held, self._first = np.zeros(0, np.int16), 0

    def pcm(self, start: float, end: float) -> bytes:
        """Seconds [start, end) at `RATE`; `start` never lies before an earlier one."""
        first, last = round(start * RATE), round(end * RATE)
        while self._first + len(self._held) < last and (block := next(self._blocks, None)) is not None:
            noise = self._random.standard_normal(len(block), np.float32)
            loud = np.clip(self._gain * block + _NOISE * noise, -1, 1)
            self._held = np.concatenate([self._held, (loud * 32767).astype(np.int16)])
        self._held, self._first = self._held[first - self._first :], first
        return self._held[: last - first].tobytes()
