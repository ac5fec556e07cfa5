from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.plan.exact.search import solve
from pipelines.plan.finish.assemble import assemble
from pipelines.plan.finish.polish import polish
from pipelines.plan.model.instance import Instance
from pipelines.plan.planner import finish
from pipelines.schema.problem import Model, Problem, Task
from tests.plan.tiny import problems, replay


def made(problem, moves):
    return assemble(Instance.of(problem), moves, 0.0, method="")


def test_the_shortest_load_goes_first_and_hides_the_others():
    models = [Model("slow", 1, 9.0, 9.0, 1), Model("fast", 1, 1.0, 1.0, 1)]
    tasks = [Task("a", ("slow",), seconds=9.0), Task("b", ("fast",), seconds=9.0)]
    problem = Problem.of(models, tasks, 10)
    instance = Instance.of(problem)
    moves = solve(instance, 100).moves
    assert replay(problem, made(problem, polish(instance, moves, finish, 100)))[1] == 19.0


@settings(max_examples=60, deadline=None)
@given(problems(tasks=6, streams=st.integers(1, 2), objective=st.sampled_from(["load", "makespan"])))
def test_it_never_worsens_what_the_objective_ranks_first(problem):
    instance = Instance.of(problem)
    moves = solve(instance, 2_000).moves
    if moves is None or problem.context_bytes > problem.limit_bytes:
        return
    before = replay(problem, made(problem, finish(instance, moves)))
    after = replay(problem, made(problem, polish(instance, moves, finish, 30)))
    rank = (0, 1) if problem.objective == "load" else (1, 0)
    assert tuple(round(after[i], 6) for i in rank) <= tuple(round(before[i], 6) for i in rank)
