"""Explanations with known answers: reasons, the binding moment, hidden seconds, the price of memory."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.plan.explain.moments import moment, next_runs, predicted_peaks
from pipelines.plan.explain.prices import useful_limits
from pipelines.plan.explain.reasons import explain, load_time
from pipelines.plan.explain.text import lines
from pipelines.plan.model.needs import least_bytes
from pipelines.plan.planner import plan
from pipelines.schema.plan import Load, Plan, Run, Unload
from pipelines.schema.problem import Model, Problem, Task
from pipelines.schema.units import MIB
from tests.plan.definition import Definition, filled
from tests.plan.oracle import least_load_seconds, smallest_limit
from tests.plan.problems import problems, walk

#: Two models that do not fit together, wanted in turn: one reload each.
TURNS = Problem.of(
    [Model("demucs", 310 * MIB, 1.0, 0.1, 410 * MIB), Model("whisper", 1500 * MIB, 2.0, 0.3, 1500 * MIB)],
    [
        Task("a/separate", ("demucs",), 100 * MIB, 12.0),
        Task("a/transcribe", ("whisper",), 80 * MIB, 6.0, 0, ("a/separate",)),
        Task("b/separate", ("demucs",), 100 * MIB, 12.0, 0, ("a/transcribe",)),
        Task("b/transcribe", ("whisper",), 80 * MIB, 6.0, 20 * MIB, ("b/separate",)),
    ],
    1750 * MIB,
    context_bytes=50 * MIB,
)
STEPS = (
    Load("demucs", 0),
    Run(("a/separate",), 0),
    Unload("demucs", 0),
    Load("whisper", 0),
    Run(("a/transcribe",), 0),
    Unload("whisper", 0),
    Load("demucs", 0),
    Run(("b/separate",), 0),
    Unload("demucs", 0),
    Load("whisper", 0),
    Run(("b/transcribe",), 0),
)
PLAN = filled(TURNS, STEPS, 3.0)


def never(_: Problem) -> Plan:
    raise AssertionError("no plan is to be made")


def test_every_barrier_has_its_reason() -> None:
    barriers = explain(TURNS, PLAN, never, most_plans=0).barriers
    assert [(b.step, b.kind, b.model, b.next_use, b.for_step) for b in barriers] == [
        (0, "load", "demucs", 1, None),
        (2, "unload", "demucs", 7, 3),
        (3, "load", "whisper", 4, None),
        (5, "unload", "whisper", 10, 6),
        (6, "reload", "demucs", 7, None),
        (8, "unload", "demucs", None, 9),
        (9, "reload", "whisper", 10, None),
    ]
    assert [b.reason for b in barriers] == [
        "a/separate needs it now; 1.0 s",
        "next used in 5 steps (b/separate), 0.1 s to bring back; whisper needs 1,500 MiB now",
        "a/transcribe needs it now; 2.0 s",
        "next used in 5 steps (b/transcribe), 0.3 s to bring back; demucs needs 410 MiB now",
        "b/separate needs it now; 0.1 s to bring it back",
        "no later task needs it; whisper needs 1,500 MiB now",
        "b/transcribe needs it now; 0.3 s to bring it back",
    ]


def test_an_unload_that_memory_does_not_ask_for_is_called_so() -> None:
    roomy = replace(TURNS, limit_bytes=None)
    explained = explain(roomy, filled(roomy, STEPS, 3.0), never, most_plans=0)
    assert explained.barriers[1].reason.endswith("0.1 s to bring back; it could have stayed")
    assert explained.barriers[5].reason == "no later task needs it"
    assert explained.headroom_bytes is None


def test_the_binding_moment_is_broken_down() -> None:
    binding = explain(TURNS, PLAN, never, most_plans=0).binding
    assert (binding.step, binding.total) == (10, 1650 * MIB)
    assert binding.weights == (("whisper", 1500 * MIB),)
    assert binding.outputs == (("b/transcribe", 20 * MIB),)
    assert binding.workspaces == (("b/transcribe", 80 * MIB),)
    assert (binding.context, binding.above) == (50 * MIB, 0)


def test_more_memory_removes_the_reloads_and_less_is_impossible() -> None:
    """Both models and the larger workspace: 50 + 310 + 1500 + 100 = 1960 MiB, 210 more than the limit."""
    prices = explain(TURNS, PLAN, plan).prices
    best = prices.more[-1]
    assert (best.limit_bytes, best.change_bytes, best.loads) == (1960 * MIB, 210 * MIB, -2)
    assert best.seconds == pytest.approx(-0.4)
    assert (prices.smallest_bytes, prices.smallest_proved) == (1650 * MIB, True)


def test_the_text_says_it_all() -> None:
    text = "\n".join(lines(explain(TURNS, PLAN, plan)))
    for line in (
        "steps[5]  unload whisper: next used in 5 steps (b/transcribe), 0.3 s to bring back; demucs needs 410 MiB now",
        "The highest moment is steps[10]: 1,650 MiB, 100 MiB under the limit.",
        "  weights    1,500 MiB: whisper 1,500 MiB",
        "Loading takes 3.4 s: 0.0 s hidden behind work, 3.4 s waited for.",
        "+210 MiB (a limit of 1,960 MiB) would remove 2 reloads, -0.4 s.",
        "The smallest limit that works is 1,650 MiB (1730150400 bytes): no plan fits below it.",
    ):
        assert line in text


def test_long_plans_are_cut_short_and_say_so() -> None:
    text = lines(explain(TURNS, PLAN, plan), most=2)
    assert text[2] == "... and 5 more loads and unloads."


def test_prefetched_seconds_are_hidden() -> None:
    roomy = replace(TURNS, limit_bytes=3000 * MIB)
    steps = (Load("demucs", 0), Load("whisper", 0, "a/separate"), *(Run((task.id,), 0) for task in TURNS.tasks))
    early = filled(roomy, (steps[0], steps[1], *steps[2:]), 3.0)
    time = load_time(roomy, early)
    assert (time.total, time.hidden, time.exposed) == pytest.approx((3.0, 2.0, 1.0))
    assert (
        explain(roomy, early, never, most_plans=0).barriers[1].reason
        == "a/transcribe needs it in 2 steps; its 2.0 s overlap a/separate"
    )


def test_nothing_to_do() -> None:
    empty = Problem.of([], [], 10, context_bytes=4)
    explained = explain(empty, plan(empty), plan)
    assert (explained.barriers, explained.binding.step, explained.binding.total) == ((), None, 4)
    assert explained.prices.smallest_bytes == 4
    assert any(line.startswith("Before anything is loaded: 4 B") for line in lines(explained))


@settings(max_examples=80, deadline=None)
@given(problems(), st.integers(0, 2**32))
def test_moments_are_as_defined(problem: Problem, seed: int) -> None:
    made = walk(problem, seed)
    definition = Definition(problem, made.steps)
    heights = [definition.moment(at) for at in range(len(made.steps))]
    for at, step in enumerate(made.steps):
        if isinstance(step, Unload):  # the definition has what is left; the step begins with the model still there
            heights[at] += problem.models[step.model].weights_bytes
    assert predicted_peaks(problem, made.steps) == heights
    assert max([problem.context_bytes, *heights]) == made.peak_bytes
    assert all(heights[at] == step.peak_bytes for at, step in enumerate(made.steps) if isinstance(step, Run))
    assert [moment(problem, made.steps, at).total for at in range(len(made.steps))] == heights
    for at, step in enumerate(made.steps):
        if not isinstance(step, Run):
            users = [
                i
                for i in range(at, len(made.steps))
                if isinstance(s := made.steps[i], Run) and step.model in definition.models(s)
            ]
            assert next_runs(problem, made.steps)[at] == (users[0] if users else None)


@settings(max_examples=60, deadline=None)
@given(problems(tasks=5), st.integers(0, 4))
def test_prices_are_true_and_bounded(problem: Problem, above: int) -> None:
    least = smallest_limit(problem)
    problem = replace(problem, limit_bytes=least + above)
    made, calls = plan(problem), []

    def counted(other: Problem) -> Plan:
        calls.append(other.limit_bytes)
        return plan(other)

    prices = explain(problem, made, counted, most_plans=9).prices
    assert len(calls) == len(set(calls)) <= 9
    assert least_bytes(problem) <= least <= prices.smallest_bytes <= made.peak_bytes
    assert not prices.smallest_proved or prices.smallest_bytes == least
    for price in (*prices.more, *prices.less):
        best = least_load_seconds(replace(problem, limit_bytes=price.limit_bytes))
        assert price.plan.load_seconds == pytest.approx(best)
        assert price.seconds == pytest.approx(price.plan.load_seconds - made.load_seconds)
    assert all(price.seconds < 0 for price in prices.more)


@settings(max_examples=60, deadline=None)
@given(problems(tasks=6), st.integers(0, 2**32))
def test_the_largest_useful_limit_needs_no_reload(problem: Problem, seed: int) -> None:
    made = walk(problem, seed)
    problem = replace(problem, limit_bytes=made.peak_bytes)
    limits = useful_limits(problem, made, predicted_peaks(problem, made.steps))
    if limits:
        used = {name for task in problem.tasks for name in task.models}
        once = sum(problem.models[name].load_seconds for name in used)
        assert least_load_seconds(replace(problem, limit_bytes=max(limits))) == once


def _reloading() -> tuple[Problem, Plan]:
    models = [Model(name, 6, 1.0, 1.0, 6) for name in ("a", "b")]
    tasks = [Task("1", ("a",)), Task("2", ("b",), after=("1",)), Task("3", ("a",), after=("2",))]
    problem = Problem.of(models, tasks, 10)
    return problem, plan(problem)


def test_a_limit_under_which_nothing_is_saved_is_not_shown() -> None:
    problem, made = _reloading()
    assert [price.limit_bytes for price in explain(problem, made, plan).prices.more] == [12]
    assert explain(problem, made, lambda other: made).prices.more == ()


def test_an_unload_at_the_very_limit_could_have_stayed() -> None:
    problem, made = _reloading()
    reasons = {limit: next(b for b in explain(replace(problem, limit_bytes=limit), made, plan).barriers if b.kind == "unload")
               for limit in (11, 12)}  # fmt: skip
    assert (reasons[11].for_step is None, reasons[12].for_step is None) == (False, True)


def test_forty_barriers_are_shown_and_the_others_counted() -> None:
    problem, made = _reloading()
    found = explain(problem, made, plan)
    many = replace(found, barriers=(found.barriers[0],) * 41)
    assert "... and 1 more loads and unloads." in lines(many)
    assert not any("more loads and unloads" in line for line in lines(replace(many, barriers=many.barriers[:40])))
