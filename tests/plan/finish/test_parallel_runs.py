from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.plan.planner import plan
from pipelines.schema.errors import DoesNotFit
from pipelines.schema.plan import Run
from pipelines.schema.problem import Model, Problem, Task
from tests.plan.tiny import problems, replay


def runs(problem):
    return [set(step.tasks) for step in plan(problem).steps if isinstance(step, Run)]


def three(limit, shareable=True, streams=2):
    tasks = [Task(name, ("m",), 3, seconds) for name, seconds in (("a", 5.0), ("b", 1.0), ("c", 4.0))]
    return Problem.of([Model("m", 4, 1.0, 1.0, 4, shareable)], tasks, limit, streams=streams)


def test_tasks_of_a_shareable_model_run_together_and_the_longest_pair_up():
    assert {"a", "c"} in runs(three(10))
    assert plan(three(10)).makespan_seconds == 7.0


def test_a_model_that_is_not_shareable_serves_one_task_at_a_time():
    assert all(len(run) == 1 for run in runs(three(10, shareable=False)))


def test_workspaces_that_do_not_fit_together_run_apart():
    assert all(len(run) == 1 for run in runs(three(9)))


def test_no_more_tasks_than_streams():
    assert max(len(run) for run in runs(three(13, streams=3))) == 3
    assert max(len(run) for run in runs(three(13, streams=2))) == 2


@settings(max_examples=100, deadline=None)
@given(problems(tasks=7, streams=st.integers(2, 3)))
def test_streams_never_cost_loads_or_break_a_rule(problem):
    alone = Problem.of(problem.models.values(), problem.tasks, problem.limit_bytes, context_bytes=problem.context_bytes)
    try:
        made = plan(problem, effort=2_000)
    except DoesNotFit:
        return
    assert replay(problem, made)[0] <= plan(alone, effort=2_000).load_seconds + 1e-9
