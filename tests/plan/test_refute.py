"""The search for cheaper plans against brute force: with effort enough it finds the optimum, and nothing below it."""

import math

from hypothesis import given, settings

from pipelines.plan.refute import cheaper_loads
from pipelines.schema.problem import Model, Problem, Task
from tests.plan.oracle import least_load_seconds
from tests.plan.problems import problems


@settings(max_examples=80, deadline=None)
@given(problems())
def test_with_effort_enough_it_finds_the_least_load_seconds(problem: Problem) -> None:
    best = least_load_seconds(problem)
    assert cheaper_loads(problem, math.inf, effort=1_000_000) == best
    if best is not None:
        assert cheaper_loads(problem, best, effort=1_000_000) is None


def test_context_weights_and_load_peaks_count() -> None:
    models = [Model("a", 4, 1.0, 1.0, 4), Model("b", 4, 1.0, 1.0, 6)]
    tasks = [Task("1", ("a",)), Task("2", ("b",), after=("1",)), Task("3", ("a",), after=("2",))]
    costs = [cheaper_loads(Problem.of(models, tasks, limit, context_bytes=2), math.inf) for limit in (7, 8, 9, 10)]
    assert costs == [None, 3.0, 3.0, 2.0]
