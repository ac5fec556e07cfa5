"""From settings to a job that can be shown, explained or run: device, graph, items, variants, problem, plan."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from pipelines.devices.leaks import KnownLeaks
from pipelines.devices.limits import worker_limit
from pipelines.devices.protocol import Device
from pipelines.footprints.store import FootprintStore
from pipelines.graph.build import Graph
from pipelines.graph.chains import Chain
from pipelines.graph.expand import Sizing, is_isolated
from pipelines.node_classes import make_node, trusted_packages
from pipelines.run.job import Job, remaining
from pipelines.run.ladder import Mode
from pipelines.schema.config import Item, NodeSpec, Variant
from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Node, Place
from pipelines.schema.plan import Plan
from pipelines.schema.problem import Problem
from pipelines.schema.settings import Settings
from pipelines.session.candidates import known_leaks, options_of, weights_digest
from pipelines.session.choice import choose, passed_by, planner_of
from pipelines.session.selection import EVERYTHING, Selection
from pipelines.session.streaming import chains_of, streamed, streaming_of
from pipelines.weights.environments import built_python
from pipelines.worker.client import Isolated


@dataclass(frozen=True)
class Prepared:
    """Everything decided before anything is loaded. `notes` are lines a person should see."""

    settings: Settings
    device: Device
    graph: Graph
    items: tuple[Item, ...]
    choice: Mapping[str, Variant]
    problem: Problem
    sizing: Sizing
    notes: tuple[str, ...]
    places: Mapping[str, Place]
    nodes: Mapping[str, Node]
    store: FootprintStore
    leaks: KnownLeaks
    mode: Mode
    options: Mapping[str, tuple[Variant, ...]]
    selection: Selection
    #: Chosen variants whose weights or environment must be fetched before the run; only what the user pinned is ever here.
    absent: tuple[Variant, ...] = ()
    #: What was named and cannot be read, by the name it would have had as an item; nothing unless the run keeps going.
    unreadable: Mapping[str, TaskFailed] = field(default_factory=dict)
    #: Nodes that hand their sound on, and the problem without any of them joined to one task.
    chains: tuple[Chain, ...] = ()
    apart: Problem | None = None

    def plan(self, problem: Problem | None = None) -> Plan:
        """The plan of `problem` (this run's own unless given) under the tier's residency policy. Raises `DoesNotFit`."""
        return planner_of(self.settings.tier)(problem or self.problem)

    def job(self, plan: Plan, inputs: Mapping[str, str], *, keep_going: bool = False) -> Job:
        """The job for the engine; nothing is loaded yet. inputs: SHA-256 of the items' files, by path."""
        return Job(
            graph=self.graph,
            items={item.name: item for item in self.items},
            choice=self.choice,
            nodes=self.nodes,
            places=self.places,
            problem=self.problem,
            plan=plan,
            seed=self.problem.seed,
            keep_going=keep_going,
            digests=self.digests(self.choice.values(), self.places),
            inputs=inputs,
            streaming=streaming_of(self.settings),
        )

    def left(self, done: set[str]) -> Problem:
        """The problem without the tasks in `done`; chains of which none is done are one task each, as in `problem`."""
        return streamed(remaining(self.apart or self.problem, done), self.chains, self.settings.tier)

    def digests(self, variants: Iterable[Variant], places: Mapping[str, Place]) -> dict[str, str]:
        """What each variant's weights are, by its name; `""` where its library brings them or it has none."""
        return {variant.name: weights_digest(variant, places[variant.name].weights) for variant in variants}


def prepare(settings: Settings, selection: Selection = EVERYTHING, *, keep_going: bool = False) -> Prepared:
    """Decide everything. Raises as `options_of` does, and `DoesNotFit`."""
    asked = options_of(settings, selection, keep_going=keep_going)
    settings, notes = asked.settings, list(asked.notes)
    options, found = choose(asked, notes)
    choice = {node: next(v for v in variants if v.name == found.variants[node]) for node, variants in options.items()}
    notes += passed_by(choice, options, asked.sizing.limit_bytes)
    nodes = make_nodes(asked.graph, choice, asked.device, selection)
    chains = chains_of(settings, asked.graph, nodes, notes)
    return Prepared(
        settings=settings, device=asked.device, graph=asked.graph, items=asked.items, choice=choice,
        problem=streamed(found.problem, chains, settings.tier, notes), chains=chains, apart=found.problem,
        sizing=asked.sizing, notes=tuple(notes), places=asked.places, nodes=nodes, store=asked.store, leaks=known_leaks(), mode=asked.mode,
        options=options, selection=selection, unreadable=asked.unreadable,
        absent=tuple({v.name: v for v in choice.values() if v.name in asked.absent}.values()),
    )  # fmt: skip


def make_nodes(graph: Graph, choice: Mapping[str, Variant], device: Device, selection: Selection) -> dict[str, Node]:
    """A node object for every node of the graph; those that ask for it in a process of their own."""
    trusted = trusted_packages(selection.trust)
    return {name: _node_object(graph.node(name), choice.get(name), device, trusted) for name in graph.order}


def _node_object(spec: NodeSpec, variant: Variant | None, device: Device, trusted: Sequence[str]) -> Node:
    target = variant.target if variant else spec.target
    knobs = variant.knobs if variant else spec.knobs
    assert target is not None
    node = make_node(target, knobs, trusted)
    if not (is_isolated(variant) if variant else spec.isolation == "process"):
        return node
    own = built_python(variant.environment) if variant and variant.environment else None
    isolated = Isolated(
        node, target, knobs, variant.name if variant else spec.name, python=own or sys.executable, trusted=trusted,
        limit=lambda: worker_limit(device), started=device.adopt,
    )  # fmt: skip
    return cast("Node", isolated)  # a node in all but that its ports are not class attributes
