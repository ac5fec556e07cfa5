"""The planner against brute force on small problems: never a false refusal, never a false bound, every plan certified."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.plan.check import check
from pipelines.plan.planner import plan
from pipelines.schema.errors import DoesNotFit
from pipelines.schema.plan import Plan
from pipelines.schema.problem import Problem
from pipelines.schema.refusal import Refusal
from tests.plan.oracle import least_load_seconds, smallest_limit
from tests.plan.problems import problems


def attempt(problem: Problem) -> Plan | Refusal:
    try:
        return plan(problem)
    except DoesNotFit as error:
        return error.refusal


def agrees(problem: Problem) -> None:
    """Feasibility, the optimum and its proof are what brute force says."""
    best, made = least_load_seconds(problem), attempt(problem)
    if isinstance(made, Refusal):
        assert best is None, f"refused, but {best} s is possible: {made.reason}"
        assert made.proved
        return
    assert check(problem, made).ok, check(problem, made).sentence
    assert best is not None
    assert made.lower_bound <= best + 1e-9
    assert made.load_seconds == pytest.approx(best)
    assert made.proved_optimal


@settings(max_examples=100, deadline=None)
@given(problems(tasks=5))
def test_least_load_seconds_and_refusals_are_those_of_brute_force(problem: Problem) -> None:
    agrees(problem)


@settings(max_examples=40, deadline=None)
@given(problems(tasks=4), st.integers(-1, 3))
def test_at_the_very_edge_of_what_fits(problem: Problem, above: int) -> None:
    limit = smallest_limit(problem) + above
    if limit >= 0:
        agrees(replace(problem, limit_bytes=limit))


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(problems(tasks=6, models=4), st.integers(0, 6))
def test_six_tasks_near_the_edge(problem: Problem, above: int) -> None:
    agrees(replace(problem, limit_bytes=smallest_limit(problem) + above))


@settings(max_examples=60, deadline=None)
@given(problems(tasks=5))
def test_makespan_plans_are_certified_and_refused_alike(problem: Problem) -> None:
    problem = replace(problem, objective="makespan")
    fits, made = least_load_seconds(problem) is not None, attempt(problem)
    if isinstance(made, Refusal):
        assert not fits
        assert made.proved
        return
    assert fits
    assert check(problem, made).ok, check(problem, made).sentence


@settings(max_examples=30, deadline=None)
@given(problems(tasks=5))
def test_the_same_problem_gives_the_same_plan(problem: Problem) -> None:
    assert attempt(problem) == attempt(Problem.from_json(problem.to_json()))
