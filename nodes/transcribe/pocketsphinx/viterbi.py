"""The likeliest path of a sound through a chain of states, some of which may be skipped."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipelines.schema.values import Samples

_NEVER = np.float32(-1e30)


@dataclass(frozen=True, slots=True)
class Chain:
    """N states in a row, each left only for the next. All in nats, all <= 0.

    column: of the scores, which explains a state. stay: for each frame more in it. enter: for coming into it.
    skippable: states that may be passed over; no two of them are neighbours, and the last state may be one.
    """

    column: NDArray[np.int64]
    stay: Samples
    enter: Samples
    skippable: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.column)


def path(chain: Chain, scores: Samples) -> NDArray[np.int64]:
    """The state of each frame, ascending from the first state, or the second where the first may be passed over.

    scores: [frames, columns]. The way ends in the last state, or before it where that may be passed over; where there are too few
    frames for that, as far as they reach.
    Memory: 5 bytes for each state and square root of the frames. What led to each state is found anew on the way back, from
    the likelihoods kept at every so many frames.
    """
    frames, span = len(scores), math.isqrt(len(scores)) + 1
    best = np.full(len(chain), _NEVER, np.float32)
    first = 2 if chain.skippable[0] else 1
    best[:first] = scores[0, chain.column[:first]]
    starts = range(1, frames, span)
    checkpoints = []
    for start in starts:
        checkpoints.append(best)
        best = _through(chain, best, scores[start : start + span])
    found = np.empty(frames, np.int64)
    found[-1] = _end(chain, best)
    for start in reversed(starts):
        part = scores[start : start + span]
        moves = np.zeros((len(part), len(chain)), np.int8)
        _through(chain, checkpoints.pop(), part, moves)
        for at in range(len(part) - 1, -1, -1):
            found[start + at - 1] = found[start + at] - moves[at, found[start + at]]
    return found


def _through(chain: Chain, best: Samples, scores: Samples, moves: NDArray[np.int8] | None = None) -> Samples:
    """The likelihood of the likeliest way to each state after `scores`, from `best` before them; into `moves` how far each step went."""
    over = chain.enter + np.where(np.roll(chain.skippable, 1), np.float32(0), _NEVER)
    stepped, skipped = np.full((2, len(chain)), _NEVER, np.float32)
    for at, score in enumerate(scores):
        stepped[1:] = best[:-1] + chain.enter[1:]
        skipped[2:] = best[:-2] + over[2:]
        longer = np.maximum(stepped, skipped)
        stayed = best + chain.stay
        if moves is not None:
            moves[at] = (longer > stayed) * (1 + (skipped > stepped))
        best = np.maximum(stayed, longer) + score[chain.column]
    return best


def _end(chain: Chain, best: Samples) -> int:
    """The state of the last frame."""
    furthest = int(np.flatnonzero(best > _NEVER / 2)[-1])
    last = len(chain) - 1
    return last - 1 if furthest == last and chain.skippable[last] and best[last - 1] > best[last] else furthest
