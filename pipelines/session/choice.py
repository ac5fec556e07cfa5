"""Which variants a run uses: the best whose plan fits, and on the CPU what the card cannot hold and the tier lets go there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from pipelines.graph.expand import expand
from pipelines.plan.policy import plan_under
from pipelines.plan.variants import selection
from pipelines.plan.variants.frontier import Build, Planner
from pipelines.plan.variants.selection import FitNode, Option
from pipelines.schema.config import Variant, on_cpu
from pipelines.schema.errors import DoesNotFit
from pipelines.schema.ids import TaskId
from pipelines.schema.problem import Problem
from pipelines.schema.settings import Tier
from pipelines.schema.units import format_bytes

if TYPE_CHECKING:
    from pipelines.session.candidates import Asked

Options = Mapping[str, tuple[Variant, ...]]


def planner_of(tier: Tier) -> Planner:
    """Problem -> plan, under the tier's residency policy."""
    return partial(plan_under, tier.residency)


def may_fall_back(tier: Tier, role: str) -> bool:
    """Whether the ladder may move a node of `role` to the CPU. A tier that does not speak of it (`cpu_fallback`) lets all."""
    return tier.cpu_fallback is None or role in tier.cpu_fallback


def fit_nodes(options: Options, pinned: Mapping[str, Variant]) -> list[FitNode]:
    """The choices of a pipeline as `fit` wants them. A node whose role is pinned has its one variant only."""
    return [
        FitNode(
            name,
            tuple(Option(v.name, v.quality) for v in variants),
            variants[0].name if variants[0].role in pinned else None,
        )
        for name, variants in options.items()
    ]


def builder(asked: Asked, options: Options) -> Build:
    """The problem of a set of variants (by node) under a limit."""
    known = {variant.name: variant for variants in options.values() for variant in variants}
    seed = asked.settings.options.seed

    def build(chosen: Mapping[str, str], limit: int | None) -> Problem:
        choice = {node: known[name] for node, name in chosen.items()}
        sizing = replace(asked.sizing, limit_bytes=limit)
        return expand(asked.graph, asked.items, choice, asked.settings.tier, sizing, seed)

    return build


def choose(asked: Asked, notes: list[str]) -> tuple[Options, selection.Choice]:
    """The variants of highest quality whose plan fits, then the fastest, and the options they were chosen from.

    Where nothing fits, nodes whose roles the tier lets fall back are put on the CPU, the one that is to blame first, each
    with a line in `notes`. Raises the first `DoesNotFit` where that does not help either.
    """
    options, moved, first = dict(asked.options), list[str](), None
    while True:
        try:
            found = _fitting(asked, options)
        except DoesNotFit as error:
            first = first or error
            node = _next_to_move(asked, options, error.refusal.task)
            if node is None:
                raise first from None
            options[node] = tuple(variant if variant.device else on_cpu(variant) for variant in options[node])
            moved.append(node)
            continue
        notes += [_moved(asked, options, node) for node in moved]
        return options, found


def _fitting(asked: Asked, options: Options) -> selection.Choice:
    build, limit, planner = builder(asked, options), asked.sizing.limit_bytes, planner_of(asked.settings.tier)
    if not options:
        problem = build({}, limit)
        return selection.Choice({}, 0.0, problem, planner(problem), best=True)
    return selection.choose(fit_nodes(options, asked.settings.pinned), build, limit, planner)


def _next_to_move(asked: Asked, options: Options, task: str | None) -> str | None:
    """The node to put on the CPU: the blamed task's, else the next in the tier's order of roles. None where none may go."""
    if asked.device.memory == "host":
        return None
    fixed = asked.settings.device.roles
    order = [role for role in asked.settings.tier.cpu_fallback or () if role not in fixed]
    movable = [
        node
        for role in order
        for node, variants in options.items()
        if variants[0].role == role and asked.graph.node(node).device is None and not all(v.device for v in variants)
    ]
    blamed = TaskId.parse(task).node if task else None
    return blamed if blamed in movable else next(iter(movable), None)


def _moved(asked: Asked, options: Options, node: str) -> str:
    role, tier = options[node][0].role, asked.settings.tier
    return (
        f"{node} is planned on the CPU: no {role} fits in {limit_text(asked.sizing.limit_bytes)} with the rest, and tier {tier.name} "
        f"lets {role} go there (cpu_fallback)."
    )


def passed_by(choice: Mapping[str, Variant], options: Options, limit: int | None) -> list[str]:
    """A line for each node whose better variants did not fit."""
    lines = []
    for node, variants in options.items():
        better = [variant.name for variant in variants if variant.quality > choice[node].quality]
        if better:
            lines.append(
                f"{choice[node].name} for {node}: {', '.join(better)} would not fit in {limit_text(limit)} with the rest."
            )
    return lines


def limit_text(limit: int | None) -> str:
    """A limit for sentences."""
    return "the device" if limit is None else format_bytes(limit)
