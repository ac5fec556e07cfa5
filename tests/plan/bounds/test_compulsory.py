from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.plan.bounds import compulsory
from pipelines.plan.model.instance import Instance
from pipelines.plan.planner import plan
from pipelines.schema.errors import DoesNotFit
from pipelines.schema.problem import Model, Problem, Task
from tests.plan.tiny import problems, replay


def makespan(models, tasks, **more):
    return compulsory.makespan(Instance.of(Problem.of(models, tasks, None, **more)))


A, B = Model("a", 1, 2.0, 2.0, 1), Model("b", 1, 3.0, 3.0, 1)


def test_only_models_some_task_needs_are_compulsory():
    assert compulsory.cost(Instance.of(Problem.of([A, B], [Task("t", ("a",))], None))) == 2.0


def test_work_is_shared_among_streams_after_the_first_load():
    tasks = [Task(f"t{i}", ("a",), seconds=4.0) for i in range(3)]
    assert makespan([A], tasks) == 14.0
    assert makespan([A], tasks, streams=2) == 8.0


def test_loads_come_one_after_another_before_the_last_model_is_used():
    assert makespan([A, B], [Task("x", ("a",), seconds=1.0), Task("y", ("b",), seconds=1.5)]) == 6.0


def test_a_chain_waits_for_its_ancestors_models():
    tasks = [Task("x", ("a",), seconds=1.0), Task("y", ("b",), seconds=9.0, after=("x",))]
    assert makespan([A, B], tasks, streams=2) == 14.0


@settings(max_examples=80, deadline=None)
@given(problems(tasks=6, streams=st.integers(1, 3)))
def test_no_plan_ends_before_the_bound(problem):
    try:
        made = plan(problem, effort=2_000)
    except DoesNotFit:
        return
    instance = Instance.of(problem)
    loads, end, _ = replay(problem, made)
    assert compulsory.loads(instance) <= loads + 1e-9
    assert compulsory.makespan(instance) <= end + 1e-9
