"""Choosing variants together: the set of highest quality whose plan fits, then the fastest. Pinned variants stay.

Sets (`variants` says what their quality is) are built from the best down. One that a single task rules out costs no
plan; the others are planned, all of the first quality that fits, and the fastest is taken. The budget counts sets and
plans, not seconds, so the answer is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from pipelines.plan import feasibility
from pipelines.plan.model.instance import Instance
from pipelines.plan.model.needs import least_bytes
from pipelines.plan.planner import plan as make_plan
from pipelines.plan.variants.frontier import MOST_SETS, Build, FrontierPoint, PlanFunction, frontier
from pipelines.plan.variants.sets import FitNode, Option, Variants, sets_from_best
from pipelines.schema.errors import DoesNotFit
from pipelines.schema.plan import Plan
from pipelines.schema.problem import Problem
from pipelines.schema.refusal import Refusal
from pipelines.schema.units import format_bytes

__all__ = ["BestSet", "FitNode", "FrontierPoint", "Option", "find_best_set", "frontier"]

#: Plans made before the search settles for what it has.
MOST_PLANS = 40


@dataclass(frozen=True, slots=True)
class BestSet:
    """A set of variants by node, its problem and plan. `best` is true where no set of higher quality fits, proved."""

    variants: Variants
    quality: float
    problem: Problem
    plan: Plan
    best: bool


def find_best_set(
    nodes: Sequence[FitNode], build: Build, limit: int | None, planner: PlanFunction = make_plan
) -> BestSet:
    """The set of highest quality whose plan fits `limit`, the fastest of those, then the first in the nodes' order.

    `build(variants, limit)` makes the problem of a set. Raises `DoesNotFit` where no set fits: its refusal is the
    nearest set's, and its first suggestion the single change that helps most. `InvalidError` for a node without options.
    """
    search = _Search(nodes, build, limit, planner)
    found = search.best()
    if found is None:
        raise DoesNotFit(_refusal(nodes, search))
    return found


class _Search:
    """Plans sets within the budget, best first; remembers the nearest set that did not fit."""

    def __init__(self, nodes: Sequence[FitNode], build: Build, limit: int | None, planner: PlanFunction) -> None:
        self.nodes, self.build, self.limit, self.planner = nodes, build, limit, planner
        self.sets, self.plans, self.sure = MOST_SETS, MOST_PLANS, True
        self.nearest: tuple[int, Refusal] | None = None

    def best(self) -> BestSet | None:
        """The fastest fitting set of the highest quality that has one."""
        for quality, sets in groupby(sets_from_best(self.nodes), key=lambda each: each[0]):
            if self.spent:
                self.sure = False
                return None
            fitting = [found for _, variants in sets if (found := self.planned(variants, quality)) is not None]
            if fitting:
                fastest = min(fitting, key=lambda found: found.plan.makespan_seconds)
                return replace(fastest, best=self.sure)
        return None

    @property
    def spent(self) -> bool:
        return self.sets <= 0 or self.plans <= 0

    def planned(self, variants: Variants, quality: float) -> BestSet | None:
        """The set with its plan, or None where it does not fit or the budget is spent."""
        if self.spent:
            self.sure = False
            return None
        self.sets -= 1
        problem = self.build(variants, self.limit)
        refused = feasibility.refusal(Instance.of(problem))
        if refused is None:
            self.plans -= 1
            try:
                return BestSet(variants, quality, problem, self.planner(problem), best=False)
            except DoesNotFit as error:
                refused = error.refusal
        self.sure = self.sure and refused.proved
        need = least_bytes(problem)
        if self.nearest is None or need < self.nearest[0]:
            self.nearest = need, refused
        return None


def _refusal(nodes: Sequence[FitNode], search: _Search) -> Refusal:
    """The nearest set's refusal, led by the single change that helps most: unpinning one node, else more memory."""
    assert search.nearest is not None
    refused = search.nearest[1]
    change = _unpinning(nodes, search)
    lowest = next(iter(frontier(nodes, search.build, search.planner)), None)
    advice = [] if change is None else [change]
    if lowest is not None:
        chosen = ", ".join(f"{name}={variant}" for name, variant in lowest.variants.items())
        with_them = f", with {chosen}" if chosen else ""
        advice.append(f"Raise the limit to {format_bytes(lowest.limit_bytes)} ({lowest.limit_bytes} bytes){with_them}.")
    rest = [sentence for sentence in refused.suggestions if not sentence.startswith("Raise the limit")]
    proved = refused.proved and search.sure
    return replace(refused, proved=proved, suggestions=(*advice, *rest))


def _unpinning(nodes: Sequence[FitNode], search: _Search) -> str | None:
    """The node whose freedom gives the best set that fits, as a sentence."""
    options: list[tuple[float, str]] = []
    for node in nodes:
        if node.pinned is not None:
            freed = [replace(each, pinned=None) if each is node else each for each in nodes]
            found = _Search(freed, search.build, search.limit, search.planner).best()
            if found is not None:
                variant = found.variants[node.name]
                options.append(
                    (-found.quality, f"Let {node.name} use {variant} in place of {node.pinned}: then it fits.")
                )
    return min(options)[1] if options else None
