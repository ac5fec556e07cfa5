"""Choosing variants: known answers, and brute force over every set."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.plan.planner import plan
from pipelines.plan.variants import best_set
from pipelines.plan.variants.best_set import FitNode, Option, find_best_set, frontier
from pipelines.plan.variants.sets import sets_from_best
from pipelines.schema.errors import DoesNotFit, InvalidError
from pipelines.schema.plan import Plan
from pipelines.schema.problem import Model, Problem, Task
from pipelines.schema.refusal import Refusal
from pipelines.schema.units import MIB

#: variant: MiB of weights, seconds of load, seconds of work
SIZES = {
    "ft": (160, 1.0, 40.0),
    "ht": (80, 0.5, 10.0),
    "center": (0, 0.0, 1.0),
    "large": (1600, 4.0, 20.0),
    "tiny": (80, 0.2, 3.0),
}
SEPARATE = FitNode("separate", (Option("center", 1), Option("ht", 5), Option("ft", 9)))
TRANSCRIBE = FitNode("transcribe", (Option("large", 30), Option("tiny", 20)))
NODES = (SEPARATE, TRANSCRIBE)


def build(variants: Mapping[str, str], limit: int | None) -> Problem:
    """Two items, separate then transcribe; 100 MiB of workspace each."""
    models = [
        Model(v, SIZES[v][0] * MIB, SIZES[v][1], SIZES[v][1], SIZES[v][0] * MIB)
        for v in dict.fromkeys(variants.values())
    ]
    tasks = []
    for item in "ab":
        for node in variants:
            after = (f"{item}/separate",) if node == "transcribe" and "separate" in variants else ()
            tasks.append(Task(f"{item}/{node}", (variants[node],), 100 * MIB, SIZES[variants[node]][2], 0, after))
    return Problem.of(models, tasks, limit)


def test_with_room_the_best_of_each() -> None:
    chosen = find_best_set(NODES, build, None)
    assert (chosen.variants, chosen.quality, chosen.best) == ({"separate": "ft", "transcribe": "large"}, 2.0, True)


def test_quality_is_by_rank_so_that_roles_compare() -> None:
    """1000 MiB rule out `large`; ft + tiny (1.0) beats the rest."""
    chosen = find_best_set(NODES, build, 1000 * MIB)
    assert (chosen.variants, chosen.quality) == ({"separate": "ft", "transcribe": "tiny"}, 1.0)


def test_of_equal_quality_the_fastest() -> None:
    """{center, large} and {ft, tiny} are both worth 1; with ft + large out of the question, center + large takes less."""
    nodes = (replace(SEPARATE, options=(Option("center", 1), Option("ft", 9))), TRANSCRIBE)

    def together(variants: Mapping[str, str], limit: int | None) -> Problem:
        problem = build(variants, limit)
        return replace(problem, context_bytes=2000 * MIB) if set(variants.values()) == {"ft", "large"} else problem

    chosen = find_best_set(nodes, together, 1900 * MIB)
    assert chosen.variants == {"separate": "center", "transcribe": "large"}
    assert chosen.plan.makespan_seconds == pytest.approx(4.0 + 2 * 20.0)  # separating hides behind the load


def test_what_is_pinned_stays_or_the_set_is_refused_with_the_one_change_that_helps() -> None:
    pinned = (SEPARATE, replace(TRANSCRIBE, pinned="large"))
    assert find_best_set(pinned, build, 1700 * MIB).variants["transcribe"] == "large"
    with pytest.raises(DoesNotFit) as caught:
        find_best_set(pinned, build, 1000 * MIB)
    refusal = caught.value.refusal
    assert refusal.proved
    assert refusal.suggestions[0] == "Let transcribe use tiny in place of large: then it fits."
    assert refusal.suggestions[1].startswith(f"Raise the limit to 1,700 MiB ({1700 * MIB} bytes), with ")
    assert (refusal.needed_bytes, refusal.limit_bytes) == (1700 * MIB, 1000 * MIB)


def test_where_nothing_fits_more_memory_is_the_one_change() -> None:
    with pytest.raises(DoesNotFit) as caught:
        find_best_set(NODES, build, 50 * MIB)
    assert caught.value.refusal.suggestions[0] == (
        f"Raise the limit to 180 MiB ({180 * MIB} bytes), with separate=ht, transcribe=tiny."
    )
    assert sum(line.startswith("Raise the limit") for line in caught.value.refusal.suggestions) == 1


def test_frontier_known_answer() -> None:
    points = frontier(NODES, build)
    assert [(p.limit_bytes // MIB, p.quality, dict(p.variants)) for p in points if p.limit_bytes < 300 * MIB] == [
        (180, 0.5, {"separate": "ht", "transcribe": "tiny"}),
        (260, 1.0, {"separate": "ft", "transcribe": "tiny"}),
    ]
    assert points[-1].quality == 2.0
    assert points[-1].limit_bytes == 1860 * MIB  # both stay: 160 + 1600 + 100
    assert all(
        (a.quality, -a.makespan_seconds) < (b.quality, -b.makespan_seconds) and a.limit_bytes < b.limit_bytes
        for a, b in itertools.pairwise(points)
    )


def test_no_nodes_to_choose_for() -> None:
    chosen = find_best_set((), lambda variants, limit: Problem.of([], [Task("t", (), 5)], limit), 5)
    assert (chosen.variants, chosen.quality) == ({}, 0.0)


def test_names_that_do_not_exist_are_refused() -> None:
    with pytest.raises(InvalidError, match=r"transcribe is pinned to 'larg'. Did you mean 'large'"):
        find_best_set((replace(TRANSCRIBE, pinned="larg"),), build, None)
    with pytest.raises(InvalidError, match="Node pitch has no variant"):
        find_best_set((FitNode("pitch", ()),), build, None)


def test_a_spent_budget_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(best_set, "MOST_SETS", 1)
    with pytest.raises(DoesNotFit) as caught:
        find_best_set(NODES, build, 1000 * MIB)
    assert not caught.value.refusal.proved


@st.composite
def choices(draw: st.DrawFn) -> tuple[tuple[FitNode, ...], dict[str, tuple[int, int, int]], int, int]:
    """Nodes with options, each variant's (weights, output, seconds), a limit and a number of items."""
    nodes, sizes = [], {}
    for index in range(draw(st.integers(1, 3))):
        options = []
        for rank in range(draw(st.integers(1, 3))):
            name = f"n{index}v{rank}"
            sizes[name] = tuple(draw(st.integers(0, 6)) for _ in range(3))
            options.append(Option(name, draw(st.integers(0, 3))))
        nodes.append(FitNode(f"n{index}", tuple(options), draw(st.sampled_from([None, None, options[0].variant]))))
    return tuple(nodes), sizes, draw(st.integers(0, 25)), draw(st.integers(1, 2))


@settings(max_examples=60, deadline=None)
@given(choices())
def test_no_set_is_better_than_the_chosen_one(case: tuple) -> None:
    nodes, sizes, limit, items = case

    def make(variants: Mapping[str, str], limit: int | None) -> Problem:
        models = [Model(v, sizes[v][0], 1.0, 1.0, sizes[v][0]) for v in variants.values()]
        chain = list(variants)
        todo = [
            Task(
                f"{i}/{n}",
                (variants[n],),
                1,
                float(sizes[variants[n]][2]),
                sizes[variants[n]][1],
                (f"{i}/{chain[k - 1]}",) if k else (),
            )
            for i in range(items)
            for k, n in enumerate(chain)
        ]
        return Problem.of(models, todo, limit)

    def worth(names: tuple[str, ...]) -> float:
        return round(sum(node.quality(name) for node, name in zip(nodes, names, strict=True)), 9)

    fitting = []
    for names in itertools.product(
        *([o.variant for o in node.options if node.pinned in (None, o.variant)] for node in nodes)
    ):
        try:
            made = plan(make({node.name: name for node, name in zip(nodes, names, strict=True)}, limit))
        except DoesNotFit:
            continue
        fitting.append((-worth(names), made.makespan_seconds))
    if not fitting:
        with pytest.raises(DoesNotFit):
            find_best_set(nodes, make, limit)
        return
    chosen = find_best_set(nodes, make, limit)
    assert (-chosen.quality, chosen.plan.makespan_seconds) == min(fitting)
    assert chosen.best
    points = frontier(nodes, make)
    reached = [point.quality for point in points if point.limit_bytes <= limit]
    assert not reached or max(reached) <= chosen.quality


def test_sets_come_best_first_and_each_once() -> None:
    listed = list(sets_from_best(NODES))
    assert [quality for quality, _ in listed] == sorted((quality for quality, _ in listed), reverse=True)
    assert len({tuple(variants.items()) for _, variants in listed}) == 6


def test_the_best_set_is_not_called_best_where_a_better_one_was_refused_without_proof() -> None:
    nodes = [FitNode("n", (Option("low", 0.0), Option("high", 1.0)))]

    def small(variants: Mapping[str, str], limit: int | None) -> Problem:
        return Problem.of([], [Task(variants["n"])], limit)

    def planner(problem: Problem, *, proved: bool) -> Plan:
        if problem.tasks[0].id == "high":
            raise DoesNotFit(Refusal("No plan was found.", proved, None, None, 10, None, ()))
        return plan(problem)

    for proved in (False, True):
        found = find_best_set(nodes, small, 10, partial(planner, proved=proved))
        assert (found.variants, found.best) == ({"n": "low"}, proved)
