"""Bounds for large problems: never above the optimum, and above the compulsory bound where something forces a reload."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.plan.bounds import compulsory, forced_reloads
from pipelines.plan.exact.search import solve
from pipelines.plan.model.instance import Instance
from pipelines.schema.problem import Model, Problem, Task
from tests.plan.heuristics.replay import planted, random_problem


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 9), st.integers(2, 5), st.booleans(), st.sampled_from([0.1, 0.25, 0.5]))
def test_no_bound_passes_the_optimum(seed: int, tasks: int, models: int, outputs: bool, edge: float) -> None:
    problem = planted(random_problem(seed, tasks, models, outputs=outputs, edge=edge), seed)
    instance = Instance.of(problem)
    result = solve(instance, 50_000)
    if result.exhausted and result.moves is not None:
        assert forced_reloads.residency_bound(instance) <= result.lower_bound + 1e-6
        assert forced_reloads.feedback_bound(instance) <= result.lower_bound + 1e-6


def _opposite(items: int) -> Problem:
    """Two pipelines over two models that never fit together, in opposite orders."""
    models = [Model("a", 6, 2.0, 2.0, 6), Model("b", 6, 3.0, 3.0, 6)]
    tasks = [
        task
        for item in range(items)
        for first, second in (("a", "b"), ("b", "a"))
        for task in (
            Task(f"{item}/{first}{second}/1", (first,)),
            Task(f"{item}/{first}{second}/2", (second,), after=(f"{item}/{first}{second}/1",)),
        )
    ]
    return Problem.of(models, tasks, 10)


def test_opposite_orders_cost_the_cheaper_model_once_more() -> None:
    assert forced_reloads.feedback_bound(Instance.of(_opposite(40))) == 7.0


def test_opposite_orders_that_fit_together_cost_nothing_more() -> None:
    assert forced_reloads.feedback_bound(Instance.of(replace(_opposite(3), limit_bytes=12))) == 5.0


def test_outputs_that_pile_up_force_residencies() -> None:
    # 12 outputs of 4 bytes wait for b, which leaves 13 bytes beside it: four times, and a as often.
    models = [Model(name, 10, 1.0, 1.0, 10) for name in ("a", "b")]
    tasks = [
        task
        for song in range(12)
        for task in (Task(f"{song}/a", ("a",), 1, 1.0, 4), Task(f"{song}/b", ("b",), 1, 1.0, 0, (f"{song}/a",)))
    ]
    assert forced_reloads.residency_bound(Instance.of(Problem.of(models, tasks, 23))) == 8.0


def test_the_highest_bound_is_taken() -> None:
    instance = Instance.of(_opposite(2))
    assert forced_reloads.loads(instance) == 7.0 > compulsory.loads(instance)


def test_reloads_of_less_than_a_second_count_as_well() -> None:
    problem = _opposite(2)
    cheap = {"a": 0.5, "b": 0.25}
    models = [replace(model, reload_seconds=cheap[model.id]) for model in problem.models.values()]
    assert forced_reloads.feedback_bound(Instance.of(Problem.of(models, problem.tasks, 10))) == 5.25


def test_cycles_longer_than_two_are_met_once() -> None:
    models = [Model(name, 6, 1.0, cost, 6) for name, cost in (("a", 3.0), ("b", 2.0), ("c", 4.0))]
    tasks = [
        task
        for first, second in (("a", "b"), ("b", "c"), ("c", "a"))
        for task in (Task(f"{first}1", (first,)), Task(f"{second}2", (second,), after=(f"{first}1",)))
    ]
    assert forced_reloads.feedback_bound(Instance.of(Problem.of(models, tasks, 10))) == 5.0
