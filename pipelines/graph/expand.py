"""Graph x items -> problem: each node on each item becomes a task, each chosen variant a model, in bytes and seconds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipelines.graph.build import Graph
from pipelines.schema.config import Footprint, Item, Variant, evaluate
from pipelines.schema.hardware import MemoryKind
from pipelines.schema.ids import task_id
from pipelines.schema.problem import Model, Problem, Task
from pipelines.schema.settings import Tier


@dataclass(frozen=True, slots=True)
class Sizing:
    """How footprints become bytes. margins: by variant (or node) name, 0.1 adds 10 %; `default_margin` for the rest.

    memory: whose footprints apply, the host's or an accelerator's. base_context: bytes of the process itself.
    extra_weights, extra_workspace: bytes a run has seen above the plan, by the same names.
    """

    memory: MemoryKind
    limit_bytes: int | None
    base_context: int = 0
    default_margin: float = 0.0
    margins: Mapping[str, float] = field(default_factory=dict)
    extra_weights: Mapping[str, int] = field(default_factory=dict)
    extra_workspace: Mapping[str, int] = field(default_factory=dict)


VariantByNode = Mapping[str, Variant]


def expand(
    graph: Graph, items: Sequence[Item], variants: VariantByNode, tier: Tier, sizing: Sizing, seed: int = 0
) -> Problem:
    """The problem of running `graph` on `items` with a variant chosen for every node that has a role.

    Bytes are declared or measured footprints with their margin, rounded up. Nothing stays on the device between
    tasks: values travel through the host, so `output_bytes` is each footprint's own, mostly 0.
    """
    models: dict[str, Model] = {}
    tasks = []
    for node in graph.order:
        variant = variants.get(node)
        if variant is not None and holds_weights(footprint_of(graph, node, variants, sizing.memory)):
            models[variant.name] = _model(variant, sizing)
    for item in items:
        tasks += [_task(graph, node, item, variants, sizing) for node in graph.order]
    return Problem.of(
        models.values(),
        tasks,
        sizing.limit_bytes,
        context_bytes=context_bytes(graph, variants, sizing),
        streams=max(1, tier.streams),
        seed=seed,
    )


def holds_weights(footprint: Footprint) -> bool:
    """Whether a variant occupies the device between tasks at all."""
    return footprint.weights > 0 or footprint.load_seconds > 0


def footprint_of(graph: Graph, node: str, variants: VariantByNode, memory: MemoryKind) -> Footprint:
    """The footprint of `node` in that memory: of its chosen variant, or its own.

    A node without a variant computes on the host: of a card it takes nothing, unless its context names `accelerator`.
    """
    variant = variants.get(node)
    if variant is None:
        own = graph.node(node).footprint or Footprint()
        return own if memory == "host" or "accelerator" in own.context else replace(own, workspace={}, context={})
    return variant.footprint_in(memory)


def context_bytes(graph: Graph, variants: VariantByNode, sizing: Sizing) -> int:
    """The process itself plus every library the chosen variants bring, each counted once."""
    libraries: dict[str, int] = {}
    for node in graph.order:
        if node in variants and is_isolated(variants[node]):
            continue
        for library, size in footprint_of(graph, node, variants, sizing.memory).context.items():
            libraries[library] = max(size, libraries.get(library, 0))
    return sizing.base_context + sum(libraries.values())


def is_isolated(variant: Variant) -> bool:
    """Whether a variant runs in a process of its own, whose libraries then come and go with its weights."""
    return variant.isolation == "process" or bool(variant.environment)


def _model(variant: Variant, sizing: Sizing) -> Model:
    footprint = variant.footprint_in(sizing.memory)
    margin = 1 + _margin(variant.name, sizing)
    own_process = sizing.base_context + sum(footprint.context.values()) if is_isolated(variant) else 0
    more = sizing.extra_weights.get(variant.name, 0) + own_process
    weights = math.ceil(footprint.weights * margin) + more
    peak = footprint.weights if footprint.load_peak is None else footprint.load_peak
    cold = footprint.load_seconds
    return Model(
        id=variant.name,
        weights_bytes=weights,
        load_seconds=cold,
        reload_seconds=cold if footprint.reload_seconds is None else footprint.reload_seconds,
        load_peak_bytes=max(weights, math.ceil(peak * margin) + more),
    )


def _task(graph: Graph, node: str, item: Item, variants: VariantByNode, sizing: Sizing) -> Task:
    variant = variants.get(node)
    footprint = footprint_of(graph, node, variants, sizing.memory)
    knobs = variant.knobs if variant else graph.node(node).knobs
    name = name_of(variant, node)
    margin = 1 + _margin(name, sizing)
    workspace = evaluate(footprint.workspace, item, knobs) * margin + sizing.extra_workspace.get(name, 0)
    return Task(
        id=task_id(item.name, node),
        models=(variant.name,) if variant and holds_weights(footprint) else (),
        workspace_bytes=math.ceil(workspace),
        seconds=evaluate(footprint.seconds, item, knobs),
        output_bytes=footprint.output,
        after=tuple(sorted(task_id(item.name, before) for before in graph.predecessors(node))),
    )


def name_of(variant: Variant | None, node: str) -> str:
    """What a footprint is remembered under: the variant's name, or the node's where it has none."""
    return variant.name if variant else node


def _margin(name: str, sizing: Sizing) -> float:
    return sizing.margins.get(name, sizing.default_margin)


def nodes_between(graph: Graph, *, first: Iterable[str] = (), last: Iterable[str] = ()) -> set[str]:
    """The nodes from `first` on and up to `last`; an empty side is open."""
    import networkx as nx

    keep = set(graph.order)
    if starts := set(first):
        keep &= starts.union(*(nx.descendants(graph.dag, name) for name in starts))
    if ends := set(last):
        keep &= ends.union(*(nx.ancestors(graph.dag, name) for name in ends))
    return keep
