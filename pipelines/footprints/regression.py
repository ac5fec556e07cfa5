"""From observed runs to a footprint: the workspace as a sum of terms, its error, and the margin to add.

The regression. Memory grows with the input, never shrinks, so every coefficient is >= 0. Candidate terms are those of
`schema.config.TERMS` whose quantity varied in the observations; every set of at most three is solved by least squares
on relative residuals, with outliers weighed down (Huber weights, P. J. Huber, Robust Statistics, 1981). The smallest set
wins whose error is nearly that of the best one. Then `base` is raised until no ordinary observation lies above the line:
planning with too little costs a run, planning with too much costs a few MiB.

The error is cross-validated: each observation is predicted by a regression that has not seen it, where there are enough.

The margin. A declared figure comes from another machine: 20 %. Once measured here, it is the 98 % quantile of the past
relative errors, at most 10 %, and at least a floor that sinks from 10 % towards 2 % as observations are added.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.schema.config import Item, evaluate
from pipelines.schema.units import MIB

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

#: Terms in the order they are preferred when two cannot be distinguished (a batch that never varied, mono only).
FITTED_TERMS = ("base", "per_batch_second", "per_segment_second", "per_character", "per_batch", "per_channel_second")
DECLARED_MARGIN, LARGEST_MARGIN, SMALLEST_MARGIN = 0.20, 0.10, 0.02
#: Bytes below which an error is noise of the allocator rather than of the model.
NOISE = 32 * MIB
#: Added to every fit: allocators take memory in blocks of a few MiB (torch 2 MiB, glibc's arenas), on whichever side it falls.
_GRAIN = 4 * MIB
_FLOOR_COUNT = 3
#: Samples are left out in so many parts, one by one where there are no more: each part costs one more regression.
_PARTS = 10
_QUANTILE = 0.98
#: A larger set of terms must bring the error down by a third to be believed.
_WORTH_A_TERM = 1.5


@dataclass(frozen=True, slots=True)
class Sample:
    """One observed size: the item (seconds, channels, characters), the knobs `batch` and `segment`, and what it took."""

    item: Item
    knobs: Mapping[str, float]
    value: float


@dataclass(frozen=True, slots=True)
class Regression:
    """A workspace as a function of the input.

    terms: as in `Footprint.workspace`: bytes per unit of each term, rounded up. errors: of each sample,
    (measured - predicted) / max(predicted, NOISE). samples: how many there were.
    """

    terms: Mapping[str, int]
    errors: tuple[float, ...]
    samples: int

    @property
    def worst(self) -> float:
        """The largest |error|."""
        return max((abs(error) for error in self.errors), default=0.0)

    def predict(self, item: Item, knobs: Mapping[str, float]) -> int:
        """Bytes for an input, before any margin."""
        return math.ceil(evaluate(self.terms, item, knobs))


def regress(samples: Sequence[Sample]) -> Regression:
    """The workspace that `samples`, in bytes, show. Raises `ValueError` for none."""
    if not samples:
        raise ValueError("A footprint needs at least one observation.")
    terms = _lifted(_solve(samples), samples)
    parts = min(len(samples), _PARTS)
    rests = [[sample for at, sample in enumerate(samples) if at % parts != part] for part in range(parts)]
    unseen = [_lifted(_solve(rest), rest) if _sizes(rest) >= 2 else terms for rest in rests]
    errors = []
    for at, sample in enumerate(samples):
        predicted = evaluate(unseen[at % parts], sample.item, sample.knobs)
        errors.append((sample.value - predicted) / max(predicted, NOISE))
    return Regression(
        {name: math.ceil(value) for name, value in terms.items() if value > 0}, tuple(errors), len(samples)
    )


def margin(errors: Sequence[float], measured: bool = True) -> float:
    """The share to add to a prediction, from past relative errors (measured - predicted) / predicted.

    >>> margin([], measured=False), margin([0.0] * 3), round(margin([0.01] * 100), 4)
    (0.2, 0.1, 0.0224)
    """
    if not measured or not errors:
        return DECLARED_MARGIN
    floor = SMALLEST_MARGIN + (LARGEST_MARGIN - SMALLEST_MARGIN) * _FLOOR_COUNT / len(errors)
    return min(LARGEST_MARGIN, max(floor, _quantile([max(error, 0.0) for error in errors])))


def _quantile(values: Sequence[float]) -> float:
    """The value that 98 % do not pass; of few, the largest."""
    ordered = sorted(values)
    return ordered[math.ceil(_QUANTILE * len(ordered)) - 1]


def _sizes(samples: Sequence[Sample]) -> int:
    return len({tuple(_row(sample, FITTED_TERMS)) for sample in samples})


def _row(sample: Sample, names: Sequence[str]) -> list[float]:
    return [evaluate({name: 1.0}, sample.item, sample.knobs) for name in names]


def _solve(samples: Sequence[Sample]) -> dict[str, float]:
    """The best small set of terms."""
    import numpy as np

    names = _distinct(samples)
    matrix = np.array([_row(sample, names) for sample in samples])
    target = np.array([sample.value for sample in samples], dtype=np.float64)
    room = max(1, min(3, _sizes(samples) - (1 if _sizes(samples) > 2 else 0)))
    found: list[tuple[int, float, dict[str, float]]] = []
    for size in range(1, room + 1):
        for chosen in itertools.combinations(range(len(names)), size):
            values, error = _robust(matrix[:, chosen], target)
            if (values >= -1e-9).all():
                terms = {names[at]: max(0.0, float(value)) for at, value in zip(chosen, values, strict=True)}
                found.append((size, error, terms))
    best = min(error for _, error, _ in found)
    enough = [each for each in found if each[1] <= best * _WORTH_A_TERM + 0.005]
    return min(enough, key=lambda each: each[:2])[2]


def _distinct(samples: Sequence[Sample]) -> list[str]:
    """Terms whose quantity varied and is not a multiple of an earlier one."""
    import numpy as np

    distinct: list[str] = []
    columns: list[Array] = []
    for name in FITTED_TERMS:
        column = np.array([_row(sample, [name])[0] for sample in samples])
        if not np.isfinite(column).all() or not column.any():
            continue
        unit = column / np.linalg.norm(column)
        if all(abs(float(unit @ other)) < 1 - 1e-9 for other in columns):
            distinct.append(name)
            columns.append(unit)
    return distinct


def _robust(matrix: Array, target: Array) -> tuple[Array, float]:
    """Least squares on relative residuals, outliers weighed down. Coefficients, and the root mean square residual."""
    import numpy as np

    scale = 1.0 / np.maximum(np.abs(target), NOISE)
    weight = np.ones(len(target))
    for _ in range(8):
        by = np.sqrt(weight) * scale
        values: Array = np.linalg.lstsq(matrix * by[:, None], target * by, rcond=None)[0].astype(np.float64)
        residual = np.abs(matrix @ values - target) * scale
        spread = max(1.4826 * float(np.median(residual)), 1e-6)
        weight = np.minimum(1.0, 2.0 * spread / np.maximum(residual, 1e-12))
    return values, float(np.sqrt(np.average(residual**2, weights=weight)))


def _lifted(terms: Mapping[str, float], samples: Sequence[Sample]) -> dict[str, float]:
    """`terms` with `base` raised to the highest residual, but by no more than half of what counts as noise."""
    above = max(sample.value - evaluate(terms, sample.item, sample.knobs) for sample in samples)
    lift = min(max(0.0, above), NOISE / 2)
    return {**terms, "base": terms.get("base", 0.0) + lift + _GRAIN}
