"""The usual orders: each is what it is called, fits where it says so, and no plan is worse than they are."""

from __future__ import annotations

from random import Random

import pytest

from benchmarks.planner.baselines import baselines
from benchmarks.planner.generators import identical, planted
from pipelines.plan.heuristics import orders
from pipelines.plan.heuristics.dead_ends import components, own_needs
from pipelines.plan.heuristics.task_groups import TaskGroups, plain
from pipelines.plan.model.instance import Instance
from pipelines.plan.planner import plan


def _peak(groups: TaskGroups, order: list[int]) -> int:
    """Highest moment with only the running group's models there; fails where a predecessor is late."""
    needs, uses, live, peak = own_needs(groups), [len(row) for row in groups.succs], 0, 0
    done: set[int] = set()
    for group in order:
        assert done.issuperset(groups.preds[group])
        done.add(group)
        peak = max(peak, live + needs[group])
        live += groups.keep[group]
        for pred in groups.preds[group]:
            uses[pred] -= 1
            live -= 0 if uses[pred] else groups.keep[pred]
    return peak


@pytest.mark.parametrize("seed", range(1, 12, 2))
def test_every_order_holds_every_group_after_its_predecessors(seed: int) -> None:
    groups = plain(Instance.of(planted(seed)))
    for order in orders.simple(groups, components(groups, effort=100)):
        assert sorted(order) == list(range(len(groups)))
        _peak(groups, order)


def test_the_greedy_fits_or_says_that_it_does_not() -> None:
    outcomes = set()
    for seed in range(1, 30, 2):
        groups = plain(Instance.of(planted(seed)))
        for draw in (None, Random(seed)):
            order = orders.greedy(groups, draw)
            outcomes.add(order is None)
            assert order is None or (sorted(order) == list(range(len(groups))) and _peak(groups, order) <= groups.room)
    assert outcomes == {True, False}


@pytest.mark.slow
@pytest.mark.parametrize("problem", [planted(s, tasks=40) for s in (7, 39, 51, 59)] + [identical(9, items=12)])
def test_no_plan_is_worse_than_a_usual_order(problem: object) -> None:
    made = plan(problem)  # type: ignore[arg-type]
    others = [found for found in baselines(Instance.of(problem)).values() if found is not None]  # type: ignore[arg-type]
    assert others
    assert made.load_seconds <= min(cost for cost, _ in others) + 1e-9
