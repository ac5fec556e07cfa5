"""Where to cut a long sound: where it is quiet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.schema.values import Samples


def quiet_cuts(samples: Samples, rate: int, segment: float) -> list[int]:
    """Where to cut `samples` so that no piece is longer than `segment` seconds: 0, the quietest 20 ms of the last third of
    each piece, and the end. Depends only on what comes before the cut's reach, so the same sound is always cut alike."""
    longest, cuts = int(segment * rate), [0]
    while len(samples) - cuts[-1] > longest:
        cuts.append(cuts[-1] + _quietest(samples[cuts[-1] : cuts[-1] + longest], rate))
    return [*cuts, len(samples)]


def _quietest(samples: Samples, rate: int) -> int:
    """The middle of the quietest 20 ms in the last third of `samples`."""
    import numpy as np

    frame, first = max(int(0.02 * rate), 1), len(samples) * 2 // 3
    reach = samples[first:]
    frames = reach[: len(reach) // frame * frame].reshape(-1, frame)
    return first + int(np.argmin(np.abs(frames).sum(axis=1))) * frame + frame // 2


@dataclass(frozen=True, eq=False)
class Cut:
    """A piece of a sound: `samples` [n] are frames [start - lead, stop + what is heard behind it)."""

    samples: Samples
    lead: int
    start: int
    stop: int


def quiet_pieces(blocks: Iterable[Samples], rate: int, segment: float, around: float, first: float) -> Iterator[Cut]:
    """A sound that arrives in `blocks` [n], cut as `quiet_cuts` does it, each piece as soon as it and what is around it are there.

    No piece is longer than `segment` seconds, the first no longer than `first`, each up to half as long again as the one before,
    so that the first is there soon. Where the cuts are does not depend on the blocks. around: seconds of sound on either side.
    """
    held, begin, cut, length = _Held(iter(blocks)), 0, 0, min(first, segment)
    beside = int(around * rate)
    while held.fill(cut + 1):
        longest = int(length * rate)
        more = held.fill(cut + longest + 1)
        stop = cut + _quietest(held.samples[cut - begin : cut - begin + longest], rate) if more else held.end
        held.fill(stop + beside)
        yield Cut(held.samples[: stop + beside - begin], cut - begin, cut, stop)
        cut, length = stop, min(length * 1.5, segment)
        held.samples, begin = held.samples[max(cut - beside, 0) - begin :], max(cut - beside, 0)


class _Held:
    """What has arrived and is still needed. end: frames that have come in all."""

    def __init__(self, blocks: Iterator[Samples]) -> None:
        import numpy as np

        self._blocks, self.samples, self.end = blocks, np.zeros(0, np.float32), 0

    def fill(self, stop: int) -> bool:
        """Whether `stop` frames have come, after waiting for them."""
        import numpy as np

        while self.end < stop and (block := next(self._blocks, None)) is not None:
            self.samples, self.end = np.concatenate([self.samples, block]), self.end + len(block)
        return self.end >= stop
