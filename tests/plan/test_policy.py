"""The plans of the two simple residency policies: what they promise, checked step by step, against the checker and by brute force."""

import itertools

import pytest
from hypothesis import given, settings

from pipelines.plan.check import check
from pipelines.plan.planner import plan
from pipelines.plan.policy import plan_under, policy_for
from pipelines.schema.errors import DoesNotFit, UsageError
from pipelines.schema.plan import Load, Run, Unload
from pipelines.schema.problem import Model, Problem, Task
from pipelines.schema.units import GIB
from tests.plan.problems import problems


def batch(items: int, limit: int | None, models: str = "abc", workspace: int = 1) -> Problem:
    """Each item goes through one task a model."""
    made = [Model(name, 10, 2.0, 1.0, 10) for name in models]
    tasks = [
        Task(f"{item}/{name}", (name,), workspace, 1.0, 0, (f"{item}/{models[at - 1]}",) if at else ())
        for item in range(items)
        for at, name in enumerate(models)
    ]
    return Problem.of(made, tasks, limit)


@settings(max_examples=80, deadline=None)
@given(problems())
def test_every_plan_of_both_policies_passes_the_checker(problem):
    for policy in ("sequential", "normal"):
        try:
            made = plan_under(policy, problem)
        except DoesNotFit:
            assert problem.limit_bytes is not None
            continue
        verdict = check(problem, made)
        assert verdict.ok, f"{policy}: {verdict.sentence}"
        assert made.method == f"residency {policy}"


@settings(max_examples=80, deadline=None)
@given(problems())
def test_sequential_holds_one_tasks_models_at_a_time_and_none_between(problem):
    try:
        made = plan_under("sequential", problem)
    except DoesNotFit:
        return
    needs = {task.id: set(task.models) for task in problem.tasks}
    held: set[str] = set()
    for step in made.steps:
        if isinstance(step, Load):
            assert step.during is None
            held.add(step.model)
        elif isinstance(step, Unload):
            held.discard(step.model)
        else:
            assert held == needs[step.tasks[0]]
            assert len(step.tasks) == 1
    assert not held
    assert sum(isinstance(step, Load) for step in made.steps) == sum(len(task.models) for task in problem.tasks)


@settings(max_examples=80, deadline=None)
@given(problems())
def test_normal_loads_every_model_once_and_unloads_none(problem):
    try:
        made = plan_under("normal", problem)
    except DoesNotFit:
        return
    loads = [step.model for step in made.steps if isinstance(step, Load)]
    assert sorted(loads) == sorted({name for task in problem.tasks for name in task.models})
    assert not any(isinstance(step, Unload) for step in made.steps)
    assert made.load_seconds == sum(problem.models[name].load_seconds for name in loads)
    first = next((at for at, step in enumerate(made.steps) if isinstance(step, Run)), 0)
    assert all(isinstance(step, Run) for step in made.steps[first:])


def _held_throughout(problem):
    """The lowest peak of any order with every model held from the start, by trying all orders one task at a time."""
    used = sorted({name for task in problem.tasks for name in task.models})
    weights = problem.context_bytes + sum(problem.models[name].weights_bytes for name in used)
    spans = []
    for order in itertools.permutations(used):
        held, peak = problem.context_bytes, problem.context_bytes
        for name in order:
            peak = max(peak, held + problem.models[name].load_peak_bytes)
            held += problem.models[name].weights_bytes
        spans.append(peak)
    best = None
    for order in itertools.permutations(problem.tasks):
        live: dict[str, int] = {}
        peak, ran = weights, set()
        for task in order:
            if not ran.issuperset(task.after):
                break
            ran.add(task.id)
            live[task.id] = task.output_bytes
            peak = max(peak, weights + sum(live.values()) + task.workspace_bytes)
            waiting = {name for other in problem.tasks if other.id not in ran for name in other.after}
            live = {name: size for name, size in live.items() if name in waiting}
        else:
            best = peak if best is None else min(best, peak)
    return max(min(spans), best if best is not None else weights)


@settings(max_examples=150, deadline=None)
@given(problems(tasks=4))
def test_normal_is_refused_exactly_where_no_order_has_room_for_everything(problem):
    if problem.limit_bytes is None:
        return
    least = _held_throughout(problem)
    if least <= problem.limit_bytes:
        plan_under("normal", problem)
        return
    with pytest.raises(DoesNotFit) as caught:
        plan_under("normal", problem)
    refusal = caught.value.refusal
    assert refusal.proved
    if (
        refusal.needed_bytes is None
    ):  # no task alone is too large, but outputs that wait on the device leave no order room
        assert any(task.output_bytes for task in problem.tasks)
        assert refusal.short_bytes is None
    else:
        assert refusal.short_bytes == refusal.needed_bytes - problem.limit_bytes > 0


def test_a_batch_costs_sequential_a_load_for_every_task_and_planned_far_less():
    problem = batch(10, 11)
    one_by_one, planned = plan_under("sequential", problem), plan_under("planned", problem)
    assert (one_by_one.peak_bytes, planned.peak_bytes) == (11, 11)
    assert one_by_one.load_seconds == 3 * 2.0 + 27 * 1.0
    assert planned.load_seconds == 6.0
    assert one_by_one.lower_bound == 6.0
    assert not one_by_one.proved_optimal


def test_a_policy_is_called_proved_where_it_happens_to_be_the_least():
    assert plan_under("sequential", batch(1, 11)).proved_optimal
    assert plan_under("normal", batch(10, 31)).proved_optimal


def test_sequential_runs_item_by_item():
    runs = [step.tasks[0] for step in plan_under("sequential", batch(2, None)).steps if isinstance(step, Run)]
    assert runs == ["0/a", "0/b", "0/c", "1/a", "1/b", "1/c"]


def test_sequential_takes_the_planners_order_where_its_own_has_no_room_for_the_outputs():
    """Two outputs of 10 wait for their readers; only right after each other is there room for one at a time."""
    makers = [Task("p", (), 0, 1.0, 10), Task("q", (), 0, 1.0, 10)]
    tasks = [*makers, Task("r", (), 0, 1.0, 0, ("p",)), Task("s", (), 0, 1.0, 0, ("q",))]
    problem = Problem.of([], tasks, 10)
    assert [step.tasks for step in plan_under("sequential", problem).steps] == [("p",), ("r",), ("q",), ("s",)]


def test_normal_hides_the_later_loads_behind_the_first_run():
    made = plan_under("normal", batch(1, 31))
    assert [step.during for step in made.steps if isinstance(step, Load)] == [None, "0/a", "0/a"]
    assert made.makespan_seconds == 2.0 + 2.0 + 2.0 + 1.0


def test_normal_loads_before_the_first_run_where_a_load_peak_leaves_no_room_beside_it():
    models = [Model("a", 10, 1.0, 1.0, 10), Model("b", 10, 1.0, 1.0, 25)]
    tasks = [Task("t", ("a",), 8, 1.0), Task("u", ("b",), 0, 1.0, 0, ("t",))]
    made = plan_under("normal", Problem.of(models, tasks, 30))
    assert [(step.model, step.during) for step in made.steps if isinstance(step, Load)] == [("b", None), ("a", None)]
    assert made.peak_bytes == 28


def test_normal_that_does_not_fit_gives_the_facts_and_says_that_planned_would():
    with pytest.raises(DoesNotFit) as caught:
        plan_under("normal", batch(2, 20))
    refusal = caught.value.refusal
    assert (refusal.needed_bytes, refusal.short_bytes, refusal.proved) == (31, 11, True)
    assert "all 3 models" in refusal.reason
    assert refusal.suggestions[0].startswith("tier.residency=planned fits, with a peak of")
    with pytest.raises(DoesNotFit) as caught:
        plan_under("normal", batch(2, 5))
    assert not any("planned" in text for text in caught.value.refusal.suggestions)


def test_two_streams_count_both_workspaces_under_normal():
    problem = batch(1, None, "a", workspace=3)
    free = [Task(f"{item}/x", (), 4, 1.0) for item in range(2)]
    problem = Problem.of(problem.models.values(), [*problem.tasks, *free], 18, streams=2)
    made = plan_under("normal", problem)
    assert max(len(step.tasks) for step in made.steps if isinstance(step, Run)) == 2
    assert made.peak_bytes == 18
    assert max(len(s.tasks) for s in plan_under("normal", _with_limit(problem, 16)).steps if isinstance(s, Run)) == 1


def _with_limit(problem, limit):
    return Problem.of(problem.models.values(), problem.tasks, limit, streams=problem.streams)


def test_planned_is_the_planner():
    problem = batch(3, 21)
    assert plan_under("planned", problem).to_json() == plan(problem).to_json()


@pytest.mark.parametrize(
    ("residency", "gigabytes", "policy"),
    [("auto", 4, "sequential"), ("auto", 6, "sequential"), ("auto", 7, "sequential"), ("auto", 7.8, "normal"),
     ("auto", 24, "normal"), ("planned", 4, "planned"), ("normal", 4, "normal"), ("sequential", 80, "sequential")],
)  # fmt: skip
def test_auto_goes_by_the_size_of_the_card(residency, gigabytes, policy):
    assert policy_for(residency, int(gigabytes * GIB)) == policy


def test_an_unknown_policy_is_a_sentence_with_the_known_ones():
    with pytest.raises(UsageError, match=r"Did you mean 'normal'\?.*auto, normal, planned, sequential"):
        policy_for("normall", 0)
