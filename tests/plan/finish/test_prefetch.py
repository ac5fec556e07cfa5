from hypothesis import given, settings

from pipelines.plan.exact.search import solve
from pipelines.plan.finish.assemble import Assembler, assemble
from pipelines.plan.finish.prefetch import prefetch
from pipelines.plan.model.instance import Instance
from pipelines.plan.model.slots import to_moves, to_slots
from pipelines.plan.planner import plan
from pipelines.schema.plan import Load
from pipelines.schema.problem import Model, Problem, Task
from tests.plan.tiny import problems, replay


def passed(problem, moves):
    instance = Instance.of(problem)
    slots = to_slots(instance, moves)
    prefetch(instance, slots)
    return assemble(instance, to_moves(slots), 0.0, method="")


def pair(limit, load=3.0, first=10.0):
    models = [Model("a", 4, 1.0, 1.0, 4), Model("b", 5, load, load, 5)]
    tasks = [Task("x", ("a",), 1, first), Task("y", ("b",), 1, 2.0, after=("x",))]
    problem = Problem.of(models, tasks, limit)
    return passed(problem, solve(Instance.of(problem), 100).moves)


def test_a_load_hides_beside_the_run_before_it():
    plan = pair(10)
    assert Load("b", 9, "x") in plan.steps
    assert plan.makespan_seconds == 13.0


def test_a_load_that_has_no_room_stays_where_it_is():
    plan = pair(9)
    assert all(step.during is None for step in plan.steps if isinstance(step, Load))
    assert plan.makespan_seconds == 16.0


def test_a_long_load_starts_as_many_runs_early_as_it_needs():
    models = [Model("a", 4, 1.0, 1.0, 4), Model("b", 5, 5.0, 5.0, 5)]
    tasks = [Task(f"x{i}", ("a",), 0, 2.0, after=(f"x{i - 1}",) if i else ()) for i in range(5)]
    tasks.append(Task("y", ("b",), 0, 1.0, after=("x4",)))
    problem = Problem.of(models, tasks, 9)
    plan = passed(problem, solve(Instance.of(problem), 100).moves)
    assert [step.during for step in plan.steps if isinstance(step, Load)] == [None, "x2"]
    assert plan.makespan_seconds == 12.0


@settings(max_examples=150, deadline=None)
@given(problems(tasks=7))
def test_it_keeps_the_limit_and_the_loads_and_never_ends_later(problem):
    instance = Instance.of(problem)
    moves = solve(instance, 2_000).moves
    if moves is None or problem.context_bytes > problem.limit_bytes:
        return
    before = Assembler(instance)
    for move in to_moves(to_slots(instance, moves)):
        before.move(move)
    loads, end, _ = replay(problem, passed(problem, moves))
    assert abs(loads - before.load_seconds) < 1e-9
    assert end <= before.clock.run_end + 1e-9


def test_a_load_comes_forward_where_the_others_just_fit_after_it() -> None:
    models = [Model(name, size, 1.0, 1.0, size) for name, size in (("a", 3), ("b", 3), ("c", 5))]
    tasks = [Task("1", ("a",), seconds=9.0), Task("2", ("b", "c"), after=("1",))]
    made = plan(Problem.of(models, tasks, 8))
    assert [step.model for step in made.steps if isinstance(step, Load) and step.during == "1"] == ["b"]
