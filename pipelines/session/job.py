"""From a choice to what the engine is given: node objects, where their weights lie, what the task notes depend on."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

from pipelines.devices.limits import worker_limit
from pipelines.devices.protocol import Device
from pipelines.files import sha256_of
from pipelines.graph.expand import is_isolated
from pipelines.inputs.items import FILES
from pipelines.node_classes import make_node
from pipelines.run.job import Job
from pipelines.schema.config import NodeSpec, Variant
from pipelines.schema.node import Node, Place
from pipelines.schema.plan import Plan
from pipelines.schema.problem import Problem
from pipelines.session.choice import RunChoice
from pipelines.session.inventory import Inventory, weights_digest
from pipelines.session.streaming import streaming_of
from pipelines.worker.client import IsolatedNode


def make_job(inventory: Inventory, choice: RunChoice, device: Device, *, keep_going: bool = False) -> Job:
    """The job of everything there is to do, with no plan yet: some of it may be done already. Nothing is loaded."""
    return Job(
        graph=inventory.graph,
        items={item.name: item for item in inventory.items},
        variants=choice.variants,
        nodes=make_nodes(inventory, choice.variants, device),
        places=places_of(inventory, choice.variants.values()),
        problem=choice.problem,
        plan=_no_plan(choice.problem),
        seed=choice.problem.seed,
        keep_going=keep_going,
        digests=digests_of(inventory, choice.variants.values()),
        inputs=_input_digests(inventory),
        streaming=streaming_of(inventory.settings),
    )


def make_nodes(inventory: Inventory, variants: Mapping[str, Variant], device: Device) -> dict[str, Node]:
    """A node object for every node of the graph; those that are isolated in a process of their own.

    Raises `UsageError` for a knob that its class does not take.
    """
    graph = inventory.graph
    return {name: _node_object(inventory, graph.node(name), variants.get(name), device) for name in graph.order}


def places_of(inventory: Inventory, variants: Iterable[Variant]) -> dict[str, Place]:
    """Where each variant's weights lie and where it computes, by name. One made from another has the other's weights."""
    own = inventory.device.torch_device
    return {v.name: Place(v.device or own, inventory.found[v.origin].weights.path) for v in variants}


def digests_of(inventory: Inventory, variants: Iterable[Variant]) -> dict[str, str]:
    """SHA-256 of each variant's weights, by name; `""` where its library brings them or it has none."""
    return {v.name: weights_digest(v, inventory.found[v.origin].weights.path) for v in variants}


def _node_object(inventory: Inventory, spec: NodeSpec, variant: Variant | None, device: Device) -> Node:
    target = variant.target if variant else spec.target
    knobs = variant.knobs if variant else spec.knobs
    assert target is not None
    node = make_node(target, knobs, inventory.trusted)
    if not (is_isolated(variant) if variant else spec.isolation == "process"):
        return node
    own = inventory.found[variant.origin].python if variant else None
    isolated = IsolatedNode(
        node, target, knobs, variant.name if variant else spec.name, python=own or sys.executable,
        trusted=inventory.trusted, limit=lambda: worker_limit(device), started=device.adopt,
    )  # fmt: skip
    return cast("Node", isolated)  # a node in all but that its ports are not class attributes


def _no_plan(problem: Problem) -> Plan:
    return Plan(problem.objective, problem.limit_bytes, problem.context_bytes, 0.0, 0.0, 0.0, True, (), ())


def _input_digests(inventory: Inventory) -> dict[str, str]:
    """SHA-256 of every file that an item brings, by its path as the item has it."""
    ports = {port for port in inventory.settings.pipeline.items if port not in ("audio", "text")} | set(FILES)
    named = {str(path) for item in inventory.items for path in (item.path, *map(item.settings.get, ports)) if path}
    return {path: sha256_of(file) for path in sorted(named) if (file := Path(path).expanduser()).is_file()}
