"""Which part of a pipeline is wanted, and the checked graph of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipelines.graph.build import Graph, Ports, build
from pipelines.graph.expand import nodes_between
from pipelines.node_classes import node_class, ports_of, trusted_packages
from pipelines.schema.config import NodeSpec
from pipelines.schema.errors import UsageError, did_you_mean
from pipelines.schema.roles import ROLES
from pipelines.schema.settings import Settings


@dataclass(frozen=True, slots=True)
class Selection:
    """Which part of a pipeline is wanted, and what a config may name. From flags, never from YAML."""

    only: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    trust: tuple[str, ...] = ()


#: All of a pipeline, with nothing trusted but what is ours.
EVERYTHING = Selection()


def make_graph(settings: Settings, selection: Selection = EVERYTHING) -> Graph:
    """The checked graph of the pipeline, cut to the selection."""
    trusted = trusted_packages(selection.trust)
    pipeline = settings.pipeline
    nodes = tuple(_with_own_footprint(node, trusted) for node in pipeline.nodes)
    pipeline = replace(pipeline, nodes=nodes)
    ports = {node.name: _ports(node, trusted) for node in pipeline.nodes}
    graph = build(pipeline, ports, f"pipeline {pipeline.name}")
    for name in (*selection.only, *selection.first, *selection.last):
        if name not in graph.order:
            raise UsageError(
                f"There is no node {name!r} in pipeline {pipeline.name}. {did_you_mean(name, graph.order)}"
            )
    if selection.only:
        return graph.only(set(selection.only))
    if selection.first or selection.last:
        return graph.only(nodes_between(graph, first=selection.first, last=selection.last))
    return graph


def _ports(node: NodeSpec, trusted: Sequence[str]) -> Ports:
    if node.role is not None:
        role = ROLES[node.role]
        return Ports(role.inputs, role.outputs)
    assert node.target is not None
    return ports_of(node.target, trusted)


def _with_own_footprint(node: NodeSpec, trusted: Sequence[str]) -> NodeSpec:
    if node.target is None or node.footprint is not None:
        return node
    return replace(node, footprint=getattr(node_class(node.target, trusted), "footprint", None))
