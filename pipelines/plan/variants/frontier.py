"""The frontier of a pipeline's variants: how much memory buys how much quality and speed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from pipelines.plan.model.needs import least_bytes
from pipelines.plan.planner import plan as make_plan
from pipelines.plan.variants.sets import FitNode, Variants, sets_from_best
from pipelines.schema.errors import DoesNotFit
from pipelines.schema.plan import Plan
from pipelines.schema.problem import Problem

#: Sets built before the search settles for what it has seen.
MOST_SETS = 4000
#: Halvings of the range where a set's smallest limit lies, when its outputs stay on the device.
BISECTIONS = 6

Build = Callable[[Variants, int | None], Problem]
PlanFunction = Callable[[Problem], Plan]


@dataclass(frozen=True, slots=True)
class FrontierPoint:
    """The best set found under a limit, and its plan's seconds."""

    limit_bytes: int
    quality: float
    makespan_seconds: float
    load_seconds: float
    variants: Variants


def frontier(nodes: Sequence[FitNode], build: Build, planner: PlanFunction = make_plan) -> tuple[FrontierPoint, ...]:
    """Limit against quality and time, rising: each point is of higher quality than the one before, or as good and faster.

    The first is the smallest limit found to work at all. For each quality the set that needs least is planned at the
    limit it needs and at the one where nothing is ever unloaded.
    """
    points = [
        point
        for quality, variants in _cheapest_by_quality(nodes, build)
        for point in _planned_points(build, variants, quality, planner)
    ]
    rising: list[FrontierPoint] = []
    for point in sorted(points, key=lambda p: (p.limit_bytes, -p.quality, p.makespan_seconds)):
        if not rising or (point.quality, -point.makespan_seconds) > (rising[-1].quality, -rising[-1].makespan_seconds):
            rising.append(point)
    return tuple(rising)


def _cheapest_by_quality(nodes: Sequence[FitNode], build: Build) -> list[tuple[float, Variants]]:
    """For each quality the set that needs least, where none of higher quality needs as little. Builds MOST_SETS at most."""
    least: dict[float, tuple[int, Variants]] = {}
    for quality, variants in islice(sets_from_best(nodes), MOST_SETS):
        need = least_bytes(build(variants, None))
        if quality not in least or need < least[quality][0]:
            least[quality] = need, variants
    kept: list[tuple[float, Variants]] = []
    lowest: float = float("inf")
    for quality in sorted(least, reverse=True):
        need, variants = least[quality]
        if need < lowest:
            kept.append((quality, variants))
            lowest = need
    return kept


def _planned_points(build: Build, variants: Variants, quality: float, planner: PlanFunction) -> Iterator[FrontierPoint]:
    """The set planned where it just fits, and where nothing is ever unloaded."""
    low, high = least_bytes(build(variants, None)), planner(build(variants, None)).peak_bytes
    roomy = _point(build, variants, quality, high, planner)
    least = _point(build, variants, quality, low, planner)
    halvings = 0 if least is not None else BISECTIONS
    for _ in range(halvings):
        middle = (low + high) // 2
        found = _point(build, variants, quality, middle, planner)
        low, high, least = (middle, high, least) if found is None else (low, middle, found)
    yield from (point for point in (least, roomy) if point is not None)


def _point(build: Build, variants: Variants, quality: float, limit: int, planner: PlanFunction) -> FrontierPoint | None:
    try:
        made = planner(build(variants, limit))
    except DoesNotFit:
        return None
    return FrontierPoint(limit, quality, made.makespan_seconds, made.load_seconds, variants)
