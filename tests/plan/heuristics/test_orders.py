"""The usual orders: each is what it is called, fits where it says so, and no plan is worse than they are."""

from __future__ import annotations

from random import Random

import pytest

from benchmarks.planner.baselines import baselines
from benchmarks.planner.generators import identical, planted
from pipelines.plan.heuristics import orders
from pipelines.plan.heuristics.guard import components, own_needs
from pipelines.plan.heuristics.jobs import Jobs, plain
from pipelines.plan.model.instance import Instance
from pipelines.plan.planner import plan


def _peak(jobs: Jobs, order: list[int]) -> int:
    """Highest moment with only the running job's models there; fails where a predecessor is late."""
    needs, uses, live, peak = own_needs(jobs), [len(row) for row in jobs.succs], 0, 0
    done: set[int] = set()
    for job in order:
        assert done.issuperset(jobs.preds[job])
        done.add(job)
        peak = max(peak, live + needs[job])
        live += jobs.keep[job]
        for pred in jobs.preds[job]:
            uses[pred] -= 1
            live -= 0 if uses[pred] else jobs.keep[pred]
    return peak


@pytest.mark.parametrize("seed", range(1, 12, 2))
def test_every_order_holds_every_job_after_its_predecessors(seed: int) -> None:
    jobs = plain(Instance.of(planted(seed)))
    for order in orders.simple(jobs, components(jobs, effort=100)):
        assert sorted(order) == list(range(len(jobs)))
        _peak(jobs, order)


def test_the_greedy_fits_or_says_that_it_does_not() -> None:
    outcomes = set()
    for seed in range(1, 30, 2):
        jobs = plain(Instance.of(planted(seed)))
        for draw in (None, Random(seed)):
            order = orders.greedy(jobs, draw)
            outcomes.add(order is None)
            assert order is None or (sorted(order) == list(range(len(jobs))) and _peak(jobs, order) <= jobs.room)
    assert outcomes == {True, False}


@pytest.mark.slow
@pytest.mark.parametrize("problem", [planted(s, tasks=40) for s in (7, 39, 51, 59)] + [identical(9, items=12)])
def test_no_plan_is_worse_than_a_usual_order(problem: object) -> None:
    made = plan(problem)  # type: ignore[arg-type]
    others = [found for found in baselines(Instance.of(problem)).values() if found is not None]  # type: ignore[arg-type]
    assert others
    assert made.load_seconds <= min(cost for cost, _ in others) + 1e-9
