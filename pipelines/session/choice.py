"""Which variants a run uses, where, and what streams: the best whose plan fits the limit. Functions of inventory and candidates.

What the card cannot hold goes to the CPU where the tier lets its role go there (`cpu_fallback`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from pipelines.graph.chains import Chain
from pipelines.graph.expand import Sizing, expand
from pipelines.plan.policy import plan_under
from pipelines.plan.variants.best_set import BestSet, find_best_set
from pipelines.plan.variants.frontier import Build, PlanFunction
from pipelines.plan.variants.sets import FitNode, Option
from pipelines.run.job import remaining
from pipelines.schema.config import Variant, on_cpu
from pipelines.schema.errors import DoesNotFit
from pipelines.schema.ids import TaskId
from pipelines.schema.plan import Plan
from pipelines.schema.problem import Problem
from pipelines.schema.settings import Tier
from pipelines.schema.units import format_bytes
from pipelines.session.candidates import Candidates, sizing_of
from pipelines.session.inventory import Inventory
from pipelines.session.streaming import find_chains, fuse_chains

Options = Mapping[str, tuple[Variant, ...]]


@dataclass(frozen=True)
class RunChoice:
    """What was decided, and the problem that it makes.

    Attributes
    ----------
    variants : the chosen variant of each node that has a role.
    options : what each was chosen from, in the tier's order; of a node that had to go to the CPU, all are there.
    best : whether no set of higher quality fits, proved.
    problem : what is planned, each chain that streams as one task. `apart` has every task by itself.
    chains : nodes that hand their sound on.
    sizing : how footprints became bytes.
    moved : a note for each node that had to go to the CPU. notes : all that a person should know of it.
    """

    variants: Mapping[str, Variant]
    options: Options
    best: bool
    problem: Problem
    apart: Problem
    chains: tuple[Chain, ...]
    sizing: Sizing
    moved: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def choose(inventory: Inventory, candidates: Candidates) -> RunChoice:
    """The variants of highest quality whose plan fits, then the fastest, and what of them streams.

    Where nothing fits, nodes whose roles the tier lets fall back are put on the CPU, the one that is to blame first.
    Raises the first `DoesNotFit` where that does not help either.
    """
    tier, sizing = inventory.settings.tier, sizing_of(inventory, candidates.margins)
    options, found, moved = _first_fitting(inventory, candidates, sizing)
    variants = {node: next(v for v in some if v.name == found.variants[node]) for node, some in options.items()}
    chains, waiting = find_chains(inventory, variants)
    problem, refused = fuse_chains(found.problem, chains, tier)
    notes = (*moved, *_passed_by(variants, options, sizing.limit_bytes), *waiting, *refused)
    return RunChoice(variants, options, found.best, problem, found.problem, chains, sizing, moved, notes)


def problem_left(choice: RunChoice, tier: Tier, done: set[str]) -> Problem:
    """The problem without the tasks in `done`. A chain of which a task is done is planned node by node."""
    return fuse_chains(remaining(choice.apart, done), choice.chains, tier)[0]


def planner_of(tier: Tier) -> PlanFunction:
    """Problem -> plan, under the tier's residency policy."""
    return partial(plan_under, tier.residency)


def plan_for(tier: Tier, problem: Problem) -> Plan:
    """The plan of a problem under the tier's residency policy. Raises `DoesNotFit`."""
    return planner_of(tier)(problem)


def may_fall_back(tier: Tier, role: str) -> bool:
    """Whether the ladder may move a node of `role` to the CPU. A tier that does not speak of it (`cpu_fallback`) lets all."""
    return tier.cpu_fallback is None or role in tier.cpu_fallback


def fit_nodes(options: Options, pinned: Mapping[str, Variant]) -> list[FitNode]:
    """The nodes with their options, as `plan.variants` wants them. One whose role is pinned has its one variant only."""
    return [
        FitNode(
            name,
            tuple(Option(v.name, v.quality) for v in variants),
            variants[0].name if variants[0].role in pinned else None,
        )
        for name, variants in options.items()
    ]


def builder(inventory: Inventory, options: Options, sizing: Sizing) -> Build:
    """The problem of a set of variants (by node) under a limit."""
    known = {variant.name: variant for variants in options.values() for variant in variants}

    def build(chosen: Mapping[str, str], limit: int | None) -> Problem:
        variants = {node: known[name] for node, name in chosen.items()}
        return problem_of(inventory, variants, replace(sizing, limit_bytes=limit))

    return build


def problem_of(inventory: Inventory, variants: Mapping[str, Variant], sizing: Sizing) -> Problem:
    """The problem of the inventory's items with these variants, every task by itself."""
    return expand(
        inventory.graph, inventory.items, variants, inventory.settings.tier, sizing, inventory.settings.options.seed
    )


def limit_text(limit: int | None) -> str:
    """A limit for sentences."""
    return "the device" if limit is None else format_bytes(limit)


def _first_fitting(
    inventory: Inventory, candidates: Candidates, sizing: Sizing
) -> tuple[Options, BestSet, tuple[str, ...]]:
    options, moved, first = dict(candidates.by_node), list[str](), None
    while True:
        try:
            found = _fitting(inventory, options, sizing)
        except DoesNotFit as error:
            first = first or error
            node = _next_to_move(inventory, options, error.refusal.task)
            if node is None:
                raise first from None
            options[node] = tuple(variant if variant.device else on_cpu(variant) for variant in options[node])
            moved.append(node)
            continue
        return options, found, tuple(_moved(inventory, options[node][0].role, node) for node in moved)


def _fitting(inventory: Inventory, options: Options, sizing: Sizing) -> BestSet:
    build, limit, planner = builder(inventory, options, sizing), sizing.limit_bytes, planner_of(inventory.settings.tier)
    if not options:
        problem = build({}, limit)
        return BestSet({}, 0.0, problem, planner(problem), best=True)
    return find_best_set(fit_nodes(options, inventory.settings.pinned), build, limit, planner)


def _next_to_move(inventory: Inventory, options: Options, task: str | None) -> str | None:
    """The node to put on the CPU: the blamed task's, else the next in the tier's order of roles. None where none may go."""
    if inventory.device.memory == "host":
        return None
    fixed, graph = inventory.settings.device.roles, inventory.graph
    order = [role for role in inventory.settings.tier.cpu_fallback or () if role not in fixed]
    movable = [
        node
        for role in order
        for node, variants in options.items()
        if variants[0].role == role and graph.node(node).device is None and not all(v.device for v in variants)
    ]
    blamed = TaskId.parse(task).node if task else None
    return blamed if blamed in movable else next(iter(movable), None)


def _moved(inventory: Inventory, role: str, node: str) -> str:
    limit = limit_text(inventory.limit_bytes)
    return (
        f"{node} is planned on the CPU: no {role} fits in {limit} with the rest, and tier "
        f"{inventory.settings.tier.name} lets {role} go there (cpu_fallback)."
    )


def _passed_by(variants: Mapping[str, Variant], options: Options, limit: int | None) -> list[str]:
    """A line for each node whose better variants did not fit."""
    lines = []
    for node, some in options.items():
        better = [variant.name for variant in some if variant.quality > variants[node].quality]
        if better:
            lines.append(
                f"{variants[node].name} for {node}: {', '.join(better)} would not fit in {limit_text(limit)} with the rest."
            )
    return lines
