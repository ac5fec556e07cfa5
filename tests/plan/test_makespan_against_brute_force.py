"""The planner's makespans on tiny problems against every schedule there is: no false bound, no false proof."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.plan.check import check
from pipelines.plan.planner import plan
from pipelines.schema.errors import DoesNotFit
from pipelines.schema.problem import Problem
from tests.plan.definition import filled
from tests.plan.oracle_makespan import least_makespan
from tests.plan.problems import problems, tight, walk

pytestmark = pytest.mark.slow  # some 3 s of the processor each


@settings(max_examples=80, deadline=None)
@given(problems(tasks=4, models=2), st.integers(0, 2**32))
def test_bounds_and_proofs_hold(problem: Problem, seed: int) -> None:
    problem, _ = tight(problem, walk(problem, seed))
    problem = replace(problem, objective="makespan")
    best = least_makespan(problem)
    try:
        made = plan(problem)
    except DoesNotFit:
        assert best is None
        return
    assert best is not None
    assert check(problem, filled(problem, best[1])).ok
    assert made.lower_bound <= best[0] + 1e-9
    assert made.makespan_seconds >= best[0] - 1e-9
    assert not made.proved_optimal or made.makespan_seconds == pytest.approx(best[0])


@settings(max_examples=80, deadline=None)
@given(problems(tasks=4, models=2), st.integers(0, 2**32))
def test_the_oracle_is_never_slower_than_a_walk(problem: Problem, seed: int) -> None:
    snug, plan_found = tight(problem, walk(problem, seed))
    best = least_makespan(snug)
    assert best is not None
    assert best[0] <= plan_found.makespan_seconds
