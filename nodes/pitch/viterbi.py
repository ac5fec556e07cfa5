"""The most likely path through pitch bins, fed piece by piece.

Pitch may move at most eleven bins a step, the nearer the likelier (torchcrepe's transition matrix), so of the bins a path
may come from only a band of 23 is looked at, and where it came from is one byte a bin and step.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: A move of this many bins or more does not happen.
_REACH = 12


class Viterbi:
    """Feed log likelihoods [steps, bins] in order, then ask for the path. Bins alike before the first step."""

    def __init__(self, bins: int) -> None:
        self._bins, self._best = bins, None
        self._came: list[NDArray[np.int8]] = []
        self._moves = _log_moves(bins)
        self.steps = 0

    _best: NDArray[np.float64] | None

    def feed(self, likelihood: NDArray[np.float64]) -> None:
        """The next steps."""
        came = np.zeros(likelihood.shape, np.int8)
        padded, own = np.full(self._bins + 2 * _REACH - 2, -np.inf), np.arange(self._bins)
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _REACH - 1)
        for step, row in enumerate(likelihood):
            if self._best is None:
                self._best = row - np.log(self._bins)
                continue
            padded[_REACH - 1 : 1 - _REACH] = self._best
            candidates = windows + self._moves
            chosen = candidates.argmax(axis=1)
            came[step] = chosen
            self._best = candidates[own, chosen] + row
        self._came.append(came)
        self.steps += len(likelihood)

    def path(self) -> NDArray[np.intp]:
        """The best bin of every step fed so far."""
        path = np.zeros(self.steps, np.intp)
        if self._best is None:
            return path
        at, step = int(self._best.argmax()), self.steps
        for came in reversed(self._came):
            for row in came[::-1]:
                step -= 1
                path[step] = at
                at += int(row[at]) - (_REACH - 1)
        return path


def _log_moves(bins: int) -> NDArray[np.float64]:
    """[to, from - to + 11]: log probability of coming from a bin; each bin's moves out of it sum to one."""
    source = np.arange(bins)[:, None] + np.arange(-_REACH + 1, _REACH)[None]
    weight = _REACH - np.abs(np.arange(-_REACH + 1, _REACH))[None] + 0.0 * source
    inside = (source >= 0) & (source < bins)
    leaving = np.where(inside, weight, 0).sum(axis=1)  # the band is symmetric, so this is also the sum over targets
    with np.errstate(divide="ignore"):
        moves: NDArray[np.float64] = np.where(inside, np.log(weight / leaving[np.clip(source, 0, bins - 1)]), -np.inf)
    return moves
