import itertools

from hypothesis import given
from hypothesis import strategies as st

from pipelines.plan.model.instance import Instance
from pipelines.plan.model.needs import least_bytes, loading_peak, single_task_needs
from pipelines.schema.problem import Model, Problem, Task


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=5))
def test_the_loading_order_is_the_best_of_all_orders(sizes):
    models = [Model(f"m{i}", weights, 1.0, 1.0, weights + above) for i, (weights, above) in enumerate(sizes)]
    instance = Instance.of(Problem.of(models, [], None))

    def peak(order):
        resident = highest = 0
        for model in order:
            highest = max(highest, resident + models[model].load_peak_bytes)
            resident += models[model].weights_bytes
        return highest

    best = min(peak(order) for order in itertools.permutations(range(len(models))))
    assert loading_peak(instance, range(len(models))) == best


def test_a_tasks_need_counts_context_weights_workspace_output_and_inputs():
    tasks = [Task("a", output_bytes=7), Task("b", ("m",), 11, output_bytes=13, after=("a",))]
    problem = Problem.of([Model("m", 100, 1.0, 1.0, 100)], tasks, None, context_bytes=1000)
    assert single_task_needs(Instance.of(problem)) == [1007, 1131]


def test_the_moment_of_loading_counts_where_it_is_higher():
    tasks = [Task("a", output_bytes=7), Task("b", ("m",), 11, after=("a",))]
    problem = Problem.of([Model("m", 100, 1.0, 1.0, 150)], tasks, None)
    assert single_task_needs(Instance.of(problem)) == [7, 157]


def test_the_least_bytes_are_the_context_or_the_highest_moment_no_order_avoids():
    tasks = [Task("a", output_bytes=7), Task("b", ("m",), 1, after=("a",))]
    models = [Model("m", 2, 1.0, 1.0, 10)]
    assert (
        least_bytes(Problem.of(models, tasks, None, context_bytes=5)) == 15
    )  # m may be loaded before a's output is live
    assert least_bytes(Problem.of(models, [], None, context_bytes=5)) == 5
