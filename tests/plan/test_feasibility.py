from pipelines.plan.feasibility import refusal
from pipelines.plan.model.instance import Instance
from pipelines.schema.problem import Model, Problem, Task


def test_the_refusal_names_the_largest_task_and_the_shortfall():
    problem = Problem.of([Model("m", 100, 1.0, 1.0, 100)], [Task("a", ("m",), 10), Task("b", ("m",), 30)], 95)
    found = refusal(Instance.of(problem))
    assert found is not None
    assert (found.task, found.needed_bytes, found.short_bytes, found.proved) == ("b", 130, 35, True)
    assert any("'m'" in sentence for sentence in found.suggestions)


def test_a_load_that_only_passes_the_limit_beside_live_inputs_is_not_refused_outright():
    tasks = [Task("a", output_bytes=7), Task("b", ("m",), 1, after=("a",))]
    problem = Problem.of([Model("m", 2, 1.0, 1.0, 10)], tasks, 10)
    assert refusal(Instance.of(problem)) is None


def test_a_context_above_the_limit_is_refused_even_without_tasks():
    found = refusal(Instance.of(Problem.of([], [], 5, context_bytes=6)))
    assert found is not None
    assert found.proved


def test_outputs_on_the_device_are_named_as_a_way_out_exactly_where_there_are_any():
    def suggestions(*tasks):
        found = refusal(Instance.of(Problem.of([], tasks, 10)))
        assert found is not None
        return " ".join(found.suggestions)

    assert "output" not in suggestions(Task("a", workspace_bytes=11))
    assert "the output of 'a', 'b' leave" in suggestions(
        Task("a", output_bytes=6), Task("b", output_bytes=6, after=("a",))
    )
