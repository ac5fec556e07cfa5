"""A fused problem is refused exactly where one of its tasks does not fit by itself, and holds what its parts held together."""

from hypothesis import given
from hypothesis import strategies as st

from pipelines.graph.fuse import fuse
from pipelines.plan import feasibility
from pipelines.plan.check import check
from pipelines.plan.model.instance import Instance
from pipelines.plan.planner import plan
from pipelines.schema.problem import Model, Problem, Task

CHAIN = ("say", "change", "write")


def always(alone, task):
    return True


def fits(alone, task):
    return feasibility.refusal(Instance.of(alone)) is None


def item(name, needs=("A", "B", None), workspaces=(1, 2, 3), after=()):
    before = list(after)
    for node, model, workspace in zip(CHAIN, needs, workspaces, strict=True):
        yield Task(f"{name}/{node}", (model,) if model else (), workspace, 1.0, after=tuple(sorted(before)))
        before = [f"{name}/{node}"]


def problem(tasks, limit=100, **weights):
    weights = {"A": 10, "B": 20} | weights
    return Problem.of([Model(name, size, 1.0, 0.5, size) for name, size in weights.items()], tasks, limit)


def test_a_chain_holds_all_its_models_and_all_its_workspaces():
    fused, refused = fuse(problem(item("a")), [CHAIN], always)
    (task,) = fused.tasks
    assert refused == []
    assert task == Task("a/say+change+write", ("A", "B"), 6, 3.0)
    made = plan(fused)
    assert made.peak_bytes == 36
    assert check(fused, made).ok


def test_whoever_waited_for_a_part_waits_for_the_whole():
    tasks = [Task("a/first"), *item("a", after=["a/first"]), Task("a/last", after=("a/say", "a/write"))]
    fused, _ = fuse(problem(tasks), [CHAIN], always)
    assert [(task.id, task.after) for task in fused.tasks] == [
        ("a/first", ()),
        ("a/say+change+write", ("a/first",)),
        ("a/last", ("a/say+change+write",)),
    ]


def test_what_does_not_fit_stays_apart_and_is_named_item_by_item():
    whole = problem([*item("small"), *item("large", workspaces=(60, 60, 1))])
    fused, refused = fuse(whole, [CHAIN], fits)
    assert [task.id for task in refused] == ["large/say+change+write"]
    assert [task.id for task in fused.tasks] == ["small/say+change+write", "large/say", "large/change", "large/write"]
    assert plan(fused).peak_bytes <= 100


def test_a_chain_that_is_partly_done_is_left_as_it_is():
    whole = problem([Task("a/change", ("B",), 2, 1.0), Task("a/write", (), 3, 1.0, after=("a/change",))])
    assert fuse(whole, [CHAIN], always) == (whole, [])


@given(
    st.lists(st.tuples(*[st.integers(0, 40)] * 3), min_size=1, max_size=3),
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(0, 120),
)
def test_streaming_never_makes_a_problem_infeasible(workspaces, a, b, limit):
    whole = problem(
        [task for at, sizes in enumerate(workspaces) for task in item(f"i{at}", workspaces=sizes)], limit, A=a, B=b
    )
    if feasibility.refusal(Instance.of(whole)) is not None:
        return
    fused, refused = fuse(whole, [CHAIN], fits)
    made = plan(fused)
    assert check(fused, made).ok
    assert made.peak_bytes <= limit
    for task in refused:
        assert sum(whole.models[m].weights_bytes for m in task.models) + task.workspace_bytes > limit
