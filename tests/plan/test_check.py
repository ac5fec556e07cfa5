"""The certificate against the definition of the contract: what is right passes, every other plan is caught."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipelines.plan.check import check
from pipelines.schema.plan import Load, Plan, Run, Stage, Step, Unload
from pipelines.schema.problem import Model, Problem, Task
from tests.plan.definition import Definition, filled, keeps_limit, legal
from tests.plan.oracle import least_load_seconds
from tests.plan.problems import problems, tight, walk

seeds = st.integers(0, 2**32)
quick = settings(max_examples=60, deadline=None)


# -- the drawn example of the contract: 168 + 1620 bytes of weights, 900 of workspace, a prefetch under the first run

SONG = Problem.of(
    [Model("demucs", 168, 1.2, 0.1, 200), Model("whisper", 1620, 4.0, 0.5, 2000)],
    [
        Task("separate", ("demucs",), 900, 12.0, 50),
        Task("transcribe", ("whisper",), 300, 6.0, 10, ("separate",)),
        Task("again", ("demucs",), 0, 1.0, 0, ("transcribe",)),
    ],
    3300,
    context_bytes=100,
)
STEPS = (
    Load("demucs", 268),
    Load("whisper", 1888, "separate"),
    Run(("separate",), 268 + 1620 + 380 + 50 + 900),
    Unload("demucs", 100 + 1620 + 50),
    Run(("transcribe",), 100 + 1620 + 50 + 10 + 300),
    Unload("whisper", 100 + 10),
    Load("demucs", 100 + 10 + 168),
    Run(("again",), 100 + 10 + 168),
)
KNOWN = Plan(
    objective="load",
    limit_bytes=3300,
    peak_bytes=3218,
    load_seconds=1.2 + 4.0 + 0.1,
    makespan_seconds=1.2 + 12.0 + 6.0 + 0.1 + 1.0,
    lower_bound=5.2,
    proved_optimal=False,
    steps=STEPS,
    stages=(
        Stage(0, ("separate",), 3218),
        Stage(1, ("transcribe",), 2080),
        Stage(2, ("again",), 278),
    ),
)


def test_the_known_plan_holds() -> None:
    verdict = check(SONG, KNOWN)
    assert (verdict.ok, verdict.exit_code, verdict.step) == (True, 0, None)
    assert check(SONG, Plan.from_json(KNOWN.to_json())).ok


def test_a_prefetch_that_outlasts_its_run_delays_the_run_that_needs_it() -> None:
    slow = replace(SONG, models={**SONG.models, "whisper": replace(SONG.models["whisper"], load_seconds=20.0)})
    late = replace(KNOWN, load_seconds=21.3, makespan_seconds=1.2 + 20.0 + 6.0 + 0.1 + 1.0, lower_bound=21.2)
    assert check(slow, late).ok
    assert "makespan_seconds" in check(slow, replace(late, makespan_seconds=KNOWN.makespan_seconds)).sentence


def test_a_step_over_the_limit_is_four_even_where_the_plan_hides_it() -> None:
    under = replace(SONG, limit_bytes=3000)
    lie = replace(KNOWN, limit_bytes=3000, steps=(*STEPS[:2], Run(("separate",), 2990), *STEPS[3:]), peak_bytes=2990)
    verdict = check(under, lie)
    assert (verdict.exit_code, verdict.step) == (4, 2)
    assert "3218" in verdict.sentence
    assert "3000" in verdict.sentence


def test_the_first_bad_step_decides_between_three_and_four() -> None:
    wrong_first = replace(KNOWN, steps=(Load("demucs", 1), *STEPS[1:]))
    verdict = check(replace(SONG, limit_bytes=3000), wrong_first)
    assert (verdict.exit_code, verdict.step) == (3, 0)


@pytest.mark.parametrize(
    ("step", "put", "words"),
    [
        (0, Load("demux", 268), "no model 'demux'"),
        (1, Load("demucs", 436), "already on the device"),
        (1, Load("whisper", 1888, "transcribe"), "right before the run it overlaps"),
        (1, Load("whisper", 1888, "sing"), "no task 'sing'"),
        (4, Run(("again",), 2080), "comes after 'transcribe'"),
        (2, Run(("separate", "again"), 3218), "streams is 1"),
        (4, Run((), 2080), "runs nothing"),
        (3, Unload("whisper", 318), "no run has used"),
        (3, Run(("separate",), 2848), "has run before"),
        (5, Unload("demucs", 1562), "not on the device"),
    ],
)
def test_a_wrong_step_is_named(step: int, put: Step, words: str) -> None:
    verdict = check(SONG, replace(KNOWN, steps=(*STEPS[:step], put, *STEPS[step + 1 :])))
    assert (verdict.exit_code, verdict.step) == (3, step)
    assert words in verdict.sentence
    assert f"steps[{step}]" in verdict.sentence


def test_a_prefetch_with_an_unload_before_its_run_is_too_early() -> None:
    early = (*STEPS[:3], Load("demucs", 0), *STEPS[3:])
    assert check(SONG, replace(KNOWN, steps=early)).step == 3
    moved = (STEPS[0], STEPS[2], Load("whisper", 1938, "transcribe"), *STEPS[3:])
    assert check(SONG, replace(KNOWN, steps=moved)).step == 1  # the run's bytes no longer hold


def test_the_extra_of_a_prefetch_counts_until_its_model_is_used_and_only_the_largest() -> None:
    models = [Model("a", 10, 1.0, 1.0, 10), Model("b", 1, 1.0, 1.0, 31), Model("c", 1, 1.0, 1.0, 21)]
    todo = [Task("t1", ("a",)), Task("t2", ("a",)), Task("t3", ("b",)), Task("t4", ("c",))]
    steps = (
        Load("a", 10),
        Load("b", 11, "t1"),
        Load("c", 12, "t1"),
        Run(("t1",), 42),
        Run(("t2",), 42),  # b may still be loading
        Run(("t3",), 32),  # b is there, c may still be loading
        Run(("t4",), 12),
    )
    problem = Problem.of(models, todo, 42)
    stages = (Stage(0, ("t1", "t2", "t3", "t4"), 42),)
    plan = Plan("load", 42, 42, 3.0, 3.0, 3.0, True, steps, stages)
    assert check(problem, plan).sentence.startswith("The plan holds")
    assert check(replace(problem, limit_bytes=41), plan).step == 2


def test_nothing_to_do_holds_and_a_context_over_the_limit_does_not() -> None:
    def empty(limit: int | None, context: int) -> Any:
        problem = Problem.of([], [], limit, context_bytes=context)
        return check(problem, Plan("load", limit, context, 0.0, 0.0, 0.0, True, (), ()))

    assert empty(None, 0).ok
    assert empty(0, 0).ok
    assert empty(5, 5).ok
    assert (empty(5, 6).exit_code, empty(5, 6).step) == (4, None)


def test_two_tasks_run_together_only_where_what_they_share_is_shareable() -> None:
    def together(shareable: bool) -> Any:
        problem = Problem.of(
            [Model("a", 5, 1.0, 1.0, 5, shareable)],
            [Task("x", ("a",), 1, 2.0), Task("y", ("a",), 2, 3.0)],
            8,
            streams=2,
        )
        steps = (Load("a", 5), Run(("x", "y"), 8))
        return check(problem, Plan("load", 8, 8, 1.0, 4.0, 1.0, True, steps, (Stage(0, ("y", "x"), 8),)))

    assert together(True).ok
    assert (together(False).exit_code, together(False).step) == (3, 1)


# -- properties


@quick
@given(problems(), seeds)
def test_a_plan_filled_in_by_definition_holds_exactly_up_to_its_peak(problem: Problem, seed: int) -> None:
    snug, plan = tight(problem, walk(problem, seed))
    assert check(snug, plan).ok, check(snug, plan).sentence
    assume(plan.peak_bytes > 0)
    short = replace(snug, limit_bytes=plan.peak_bytes - 1)
    definition = Definition(problem, plan.steps)
    over = [at for at in range(len(plan.steps)) if definition.moment(at) == plan.peak_bytes]
    verdict = check(short, plan)
    first = None if problem.context_bytes == plan.peak_bytes else over[0]
    assert (verdict.exit_code, verdict.step) == (4, first)


@quick
@given(problems(), seeds, st.sampled_from([-1, 1]))
def test_no_byte_can_be_misstated(problem: Problem, seed: int, off: int) -> None:
    plan = replace(walk(problem, seed), limit_bytes=None)
    problem = replace(problem, limit_bytes=None)
    for at, step in enumerate(plan.steps):
        forged = (
            replace(step, peak_bytes=step.peak_bytes + off)
            if isinstance(step, Run)
            else replace(step, resident_bytes=step.resident_bytes + off)
        )
        verdict = check(problem, replace(plan, steps=(*plan.steps[:at], forged, *plan.steps[at + 1 :])))
        assert (verdict.exit_code, verdict.step) == (3, at)


TOTALS: list[Callable[[Plan], Plan]] = [
    lambda p: replace(p, peak_bytes=p.peak_bytes + 1),
    lambda p: replace(p, peak_bytes=p.peak_bytes - 1),
    lambda p: replace(p, load_seconds=p.load_seconds + 0.01),
    lambda p: replace(p, load_seconds=float("nan")),
    lambda p: replace(p, makespan_seconds=p.makespan_seconds * 1.001 + 0.01),
    lambda p: replace(p, limit_bytes=(p.limit_bytes or 0) + 1),
    lambda p: replace(p, objective="makespan" if p.objective == "load" else "load"),
    lambda p: replace(p, lower_bound=p.cost + 0.01),
    lambda p: replace(p, lower_bound=-0.01),
    lambda p: replace(p, lower_bound=float("nan")),
    lambda p: replace(p, proved_optimal=not p.proved_optimal),
    lambda p: replace(p, stages=(*p.stages, Stage(len(p.stages), (), 0))),
]


@quick
@given(problems(), seeds, st.sampled_from(range(len(TOTALS))), st.sampled_from(["load", "makespan"]))
def test_no_total_or_claim_can_be_misstated(problem: Problem, seed: int, which: int, objective: str) -> None:
    problem = replace(problem, limit_bytes=None, objective=objective)
    plan = walk(problem, seed)
    assert check(problem, plan).ok
    verdict = check(problem, TOTALS[which](plan))
    assert (verdict.exit_code, verdict.step) == (3, None), verdict.sentence


@quick
@given(problems(), seeds)
def test_no_stage_can_be_misstated(problem: Problem, seed: int) -> None:
    problem = replace(problem, limit_bytes=None)
    plan = walk(problem, seed)
    for at, stage in enumerate(plan.stages):
        others = (
            replace(stage, peak_bytes=stage.peak_bytes + 1),
            replace(stage, index=at + 1),
            replace(stage, tasks=stage.tasks[1:]),
        )
        for forged in others:
            assert (
                check(problem, replace(plan, stages=(*plan.stages[:at], forged, *plan.stages[at + 1 :]))).exit_code == 3
            )


def mutate(problem: Problem, steps: tuple[Step, ...], draw: random.Random) -> tuple[Step, ...]:
    """One random change to the list of steps: the numbers they state are left as they are."""
    made = list(steps)
    at, other = draw.randrange(len(made)), draw.randrange(len(made))
    step, kind = made[at], draw.randrange(6)
    if kind == 0:
        del made[at]
    elif kind == 1:
        made[at], made[other] = made[other], made[at]
    elif kind == 2:
        made.insert(other, step)
    elif kind == 3:
        made.insert(other, made.pop(at))
    elif isinstance(step, Run):
        names = [task.id for task in problem.tasks]
        made[at] = replace(step, tasks=tuple(draw.sample(names, draw.randint(0, min(3, len(names))))))
    elif isinstance(step, Load) and kind == 4:
        made[at] = replace(step, during=draw.choice([None, *(task.id for task in problem.tasks)]))
    else:
        made[at] = replace(step, model=draw.choice([*problem.models, "stranger"]))
    return tuple(made)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(problems(), seeds, st.integers(1, 2), st.booleans())
def test_a_changed_plan_passes_only_where_it_is_another_true_plan(
    problem: Problem, seed: int, changes: int, honest: bool
) -> None:
    """Drop, swap, repeat, move or alter steps; the honest forger then states the true numbers of the changed list."""
    snug, plan = tight(problem, walk(problem, seed))
    draw, steps = random.Random(seed), plan.steps
    for _ in range(changes):
        steps = mutate(snug, steps, draw) if steps else steps
    allowed = legal(snug, steps)
    forged = filled(snug, steps) if honest and allowed else replace(plan, steps=steps)
    true = allowed and keeps_limit(snug, steps) and filled(snug, steps, plan.lower_bound) == forged
    assert check(snug, forged).ok == true


def test_most_changed_plans_are_caught() -> None:
    """So that the property above is not about changes that change nothing."""
    caught, tried = 0, 0
    for seed in range(300):
        snug, plan = tight(SONG, walk(SONG, seed))
        steps = mutate(snug, plan.steps, random.Random(seed))
        tried += steps != plan.steps
        caught += not check(snug, replace(plan, steps=steps)).ok
    assert caught > 0.8 * tried


@settings(max_examples=150, deadline=None)
@given(problems(tasks=5, models=3), seeds)
def test_optimality_cannot_be_claimed_wrongly_where_brute_force_knows_better(problem: Problem, seed: int) -> None:
    problem, plan = tight(problem, walk(problem, seed))
    best = least_load_seconds(problem)
    assert best is not None
    claims = replace(plan, lower_bound=plan.load_seconds, proved_optimal=True)
    assert check(problem, claims).ok == (plan.load_seconds == best)
    assert check(problem, replace(plan, lower_bound=best, proved_optimal=plan.load_seconds == best)).ok
    if plan.load_seconds > best:
        assert not check(problem, replace(plan, lower_bound=best + 0.5)).ok


def test_a_false_bound_on_the_makespan_is_refuted() -> None:
    problem = replace(SONG, objective="makespan", limit_bytes=None)
    steps = (
        Load("demucs", 0),
        Run(("separate",), 0),
        Load("whisper", 0),
        Run(("transcribe",), 0),
        Unload("demucs", 0),
        Load("demucs", 0),
        Run(("again",), 0),
    )
    plan = filled(problem, steps)
    assert check(problem, plan).ok
    false = check(problem, replace(plan, lower_bound=plan.makespan_seconds, proved_optimal=True))
    assert "there is a plan of 24.2" in false.sentence


def test_the_verdict_reads_well_and_fits_json() -> None:
    verdict = check(SONG, KNOWN)
    assert verdict.sentence.startswith("The plan holds: its highest moment is 3218 B, 82 B under the limit of 3300 B;")
    assert json.loads(json.dumps(verdict.sentence)) == verdict.sentence


def test_the_checker_shares_no_code_with_the_planner() -> None:
    import ast
    from pathlib import Path

    import pipelines.plan.check as module

    own = {"check", "replay", "refute"}
    for name in own:
        tree = ast.parse((Path(module.__file__).parent / f"{name}.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pipelines"):
                assert node.module.startswith("pipelines.schema") or node.module.rsplit(".", 1)[1] in own


def test_seconds_may_differ_by_rounding_and_no_more() -> None:
    problem = Problem.of([Model("m", 1, 0.5, 0.5, 1)], [Task("t", ("m",), 0, 0.25)], None)
    true = filled(problem, [Load("m", 1), Run(("t",), 1)], 0.5)
    assert check(problem, true).ok
    assert check(problem, replace(true, lower_bound=0.5 + 4e-7)).ok
    assert check(problem, replace(true, load_seconds=0.5 + 4e-7)).ok
    assert not check(problem, replace(true, load_seconds=0.5 + 1.6e-6)).ok
