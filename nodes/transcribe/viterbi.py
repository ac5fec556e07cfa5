"""The likeliest way of a sound through a chain of states, some of which may be passed over. Arrays in, a path out; knows no words."""

from __future__ import annotations

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


def path(chain: Chain, scores: Samples, *, whole: bool) -> NDArray[np.int64]:
    """The state of each frame, ascending from the first state, or the second where the first may be passed over.

    scores: [frames, columns]. whole: the way ends in the last state wherever it can be reached; else anywhere.
    Memory: a byte for every frame and state.
    """
    frames, states = len(scores), len(chain)
    after_skip = np.zeros(states, bool)
    after_skip[2:] = chain.skippable[1:-1]
    best = np.full(states, _NEVER, np.float32)
    first = 2 if chain.skippable[0] else 1
    best[:first] = scores[0, chain.column[:first]]
    moves = np.zeros((frames, states), np.int8)
    stepped, skipped = np.full((2, states), _NEVER, np.float32)
    for frame in range(1, frames):
        stepped[1:] = best[:-1] + chain.enter[1:]
        skipped[2:] = np.where(after_skip[2:], best[:-2] + chain.enter[2:], _NEVER)
        best = best + chain.stay
        for move, found in ((1, stepped), (2, skipped)):
            better = found > best
            best[better] = found[better]
            moves[frame, better] = move
        best += scores[frame, chain.column]
    return _back(moves, _end(chain, best, whole))


def _end(chain: Chain, best: Samples, whole: bool) -> int:
    """The state of the last frame."""
    last = len(chain) - 1
    ends = (last - 1, last) if chain.skippable[last] else (last,)
    reached = max(ends, key=lambda state: best[state])
    return reached if whole and best[reached] > _NEVER / 2 else int(np.argmax(best))


def _back(moves: NDArray[np.int8], state: int) -> NDArray[np.int64]:
    found = np.empty(len(moves), np.int64)
    for frame in range(len(moves) - 1, -1, -1):
        found[frame] = state
        state -= int(moves[frame, state])
    return found
