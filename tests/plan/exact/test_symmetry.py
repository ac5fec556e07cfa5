from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.plan.exact.search import solve
from pipelines.plan.exact.symmetry import distinct, order_edges
from pipelines.plan.model.instance import Instance
from pipelines.schema.problem import Model, Problem, Task
from tests.plan.tiny import cheapest


def songs(count, outputs, limit):
    models = [Model(f"m{j}", 3 + j, 2.0, 1.0, 3 + j) for j in range(2)]
    tasks = [
        Task(f"{s}/{j}", (f"m{j}",), 1, 1.0, outputs[j], (f"{s}/{j - 1}",) if j else ())
        for s in range(count)
        for j in range(2)
    ]
    return Problem.of(models, tasks, limit)


def test_equal_items_are_ordered_stage_by_stage():
    instance = Instance.of(songs(3, (1, 0), 10))
    assert sorted(order_edges(instance)) == [(0, 2), (1, 3), (2, 4), (3, 5)]
    assert distinct(instance) == 2


def test_items_that_differ_in_one_byte_are_not_exchanged():
    problem = songs(2, (1, 0), 10)
    tasks = [*problem.tasks[:3], Task("1/1", ("m1",), 2, 1.0, 0, ("1/0",))]
    instance = Instance.of(Problem.of(problem.models.values(), tasks, 10))
    assert order_edges(instance) == []
    assert distinct(instance) == 4


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.tuples(st.integers(0, 3), st.integers(0, 3)), st.integers(8, 14))
def test_counting_equal_items_does_not_change_the_optimum(count, outputs, limit):
    problem = songs(count, outputs, limit)
    result = solve(Instance.of(problem), 10_000)
    best = cheapest(problem)
    assert result.exhausted
    assert (result.moves is None) == (best is None)
    if best is not None:
        assert result.lower_bound == best
