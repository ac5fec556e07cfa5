from random import Random

import pytest
from hypothesis import given, settings

from pipelines.plan.exact.search import solve
from pipelines.plan.exact.space import exact_costs
from pipelines.plan.finish.assemble import assemble
from pipelines.plan.model.instance import Instance
from pipelines.schema.problem import Model, Problem, Task
from tests.plan.tiny import cheapest, problems, replay


@settings(max_examples=150, deadline=None)
@given(problems())
def test_without_an_incumbent_it_agrees_with_brute_force(problem):
    best = cheapest(problem)
    instance = Instance.of(problem)
    if problem.context_bytes > problem.limit_bytes:
        return
    result = solve(instance, 10_000)
    assert result.exhausted
    assert (result.moves is None) == (best is None)
    if result.moves is not None:
        assert result.lower_bound == pytest.approx(best)


@settings(max_examples=80, deadline=None)
@given(problems(tasks=6))
def test_at_any_budget_the_bound_holds(problem):
    best = cheapest(problem)
    if best is None:
        return
    for budget in (0, 1, 2, 4):
        assert solve(Instance.of(problem), budget).lower_bound <= best + 1e-9


@settings(max_examples=80, deadline=None)
@given(problems())
def test_an_optimal_incumbent_is_proved_by_exhaustion(problem):
    best = cheapest(problem)
    if best is None:
        return
    result = solve(Instance.of(problem), 10_000, best)
    assert result.moves is None
    assert result.exhausted
    assert result.lower_bound == pytest.approx(best)


def test_the_drawn_example():
    models = [Model("a", 4, 1.0, 1.0, 4), Model("b", 5, 1.0, 1.0, 5), Model("c", 4, 1.0, 1.0, 4)]
    tasks = [Task("1", ("a",)), Task("2", ("b",)), Task("3", ("c",)), Task("4", ("a", "b"), after=("3",))]
    problem = Problem.of(models, tasks, 10)
    result = solve(Instance.of(problem), 100)
    assert result.moves is not None
    plan = assemble(Instance.of(problem), result.moves, result.lower_bound, method="")
    assert replay(problem, plan)[0] == 3.0
    assert plan.proved_optimal


def test_costs_become_whole_numbers_without_rounding():
    unit, [row] = exact_costs((0.1, 0.2, 3.0))
    assert [value / unit for value in row] == [0.1, 0.2, 3.0]
    assert unit * 3 == row[2]


def test_the_budget_holds_where_a_single_state_has_a_million_next_ones() -> None:
    """Forty models of one byte, twenty of which may stay: the parts to choose from are without number."""
    draw = Random(1)
    models = [Model(f"m{i}", 1, 1.0, 1.0, 1) for i in range(40)]
    tasks = [Task(f"t{i}", tuple(sorted(f"m{m}" for m in draw.sample(range(40), 6)))) for i in range(30)]
    result = solve(Instance.of(Problem.of(models, tasks, 20)), 3_000)
    assert not result.exhausted
    assert 40 <= result.lower_bound < 100
    assert result.expansions <= 3_000 + 2**13
