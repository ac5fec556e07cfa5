import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.plan.planner import plan
from pipelines.schema.errors import DoesNotFit, InvalidError
from pipelines.schema.problem import Model, Problem, Task
from tests.plan.tiny import cheapest, problems, replay


@settings(max_examples=120, deadline=None)
@given(problems())
def test_small_problems_are_solved_to_the_optimum_and_refused_only_when_no_plan_exists(problem):
    best = cheapest(problem)
    if best is None:
        with pytest.raises(DoesNotFit) as caught:
            plan(problem, effort=2_000)
        assert caught.value.refusal.proved
        return
    made = plan(problem, effort=2_000)
    loads, makespan, peak = replay(problem, made)
    assert (loads, makespan, peak) == pytest.approx((made.load_seconds, made.makespan_seconds, made.peak_bytes))
    assert made.proved_optimal
    assert loads == pytest.approx(best)


@settings(max_examples=120, deadline=None)
@given(problems(tasks=7, streams=st.integers(1, 3), objective=st.sampled_from(["load", "makespan"])))
def test_every_plan_replays_to_its_own_numbers_with_streams_and_both_objectives(problem):
    try:
        made = plan(problem, effort=2_000)
    except DoesNotFit:
        return
    assert replay(problem, made) == pytest.approx((made.load_seconds, made.makespan_seconds, made.peak_bytes))
    assert made.lower_bound <= made.cost


@settings(max_examples=30, deadline=None)
@given(problems(tasks=7))
def test_the_same_problem_gives_the_same_bytes(problem):
    try:
        first = plan(problem, effort=2_000).to_json()
    except DoesNotFit:
        return
    assert plan(Problem.from_json(problem.to_json()), effort=2_000).to_json() == first


def test_no_tasks_is_an_empty_plan():
    made = plan(Problem.of([Model("a", 5, 1.0, 1.0, 5)], [], 0))
    assert made.steps == ()
    assert made.proved_optimal
    assert made.peak_bytes == 0


def test_without_a_limit_every_model_loads_once():
    models = [Model(name, 10**12, 1.0, 1.0, 10**12) for name in "ab"]
    tasks = [Task(f"t{i}", ("ab"[i % 2],), after=(f"t{i - 1}",) if i else ()) for i in range(6)]
    made = plan(Problem.of(models, tasks, None))
    assert made.load_seconds == 2.0
    assert made.proved_optimal


def test_a_model_whose_loading_is_its_highest_moment_is_loaded_before_outputs_pile_up():
    models = [Model("wide", 2, 1.0, 1.0, 10), Model("slim", 2, 1.0, 1.0, 2)]
    tasks = [Task("first", ("slim",), output_bytes=5), Task("second", ("wide",), after=("first",))]
    made = plan(Problem.of(models, tasks, 10))
    assert made.peak_bytes <= 10
    assert made.load_seconds == 2.0


def test_outputs_that_leave_no_order_are_refused_with_proof_and_no_task_to_blame():
    tasks = [Task(f"make{i}", output_bytes=4) for i in range(3)]
    tasks += [Task(f"pair{i}{j}", after=(f"make{i}", f"make{j}")) for i, j in ((0, 1), (1, 2), (0, 2))]
    with pytest.raises(DoesNotFit) as caught:
        plan(Problem.of([], tasks, 11))
    refusal = caught.value.refusal
    assert refusal.proved
    assert (refusal.task, refusal.needed_bytes, refusal.short_bytes) == (None, None, None)
    assert plan(Problem.of([], tasks, 12)).peak_bytes == 12


def test_a_spent_budget_is_called_unknown_and_not_impossible():
    tasks = [Task(f"make{i}", output_bytes=4) for i in range(8)]
    tasks += [Task(f"pair{i}{j}", after=(f"make{i}", f"make{j}")) for i in range(8) for j in range(i)]
    with pytest.raises(DoesNotFit) as caught:
        plan(Problem.of([], tasks, 20), effort=1)
    assert not caught.value.refusal.proved


def test_a_hundred_equal_songs_are_proved():
    models = [Model(f"m{j}", 10, 2.0, 1.0, 10) for j in range(4)]
    tasks = [
        Task(f"{s}/{j}", (f"m{j}",), 5, 1.0, 0, (f"{s}/{j - 1}",) if j else ()) for s in range(100) for j in range(4)
    ]
    made = plan(Problem.of(models, tasks, 15))
    assert made.proved_optimal
    assert made.load_seconds == 8.0


def test_a_million_tasks_are_a_sentence():
    problem = Problem.of([], (Task(str(index)) for index in range(250_001)), 10)
    with pytest.raises(InvalidError, match="250,001 tasks; plans are made for up to 250,000"):
        plan(problem)
