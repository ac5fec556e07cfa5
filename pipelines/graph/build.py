"""Joins a pipeline's nodes into a checked graph. Every fault is named with its file, its key and the nearest valid names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import networkx as nx

from pipelines.schema.config import NodeSpec, PipelineSpec
from pipelines.schema.errors import InvalidError, UsageError, did_you_mean
from pipelines.schema.node import Port

ITEM = "item"


@dataclass(frozen=True, slots=True)
class Ports:
    """What a node takes and gives, by port name."""

    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]


@dataclass(frozen=True)
class Graph:
    """A checked pipeline. dag: node names joined producer -> consumer. order: one topological order, stable."""

    pipeline: PipelineSpec
    ports: Mapping[str, Ports]
    dag: nx.DiGraph
    order: tuple[str, ...]

    def node(self, name: str) -> NodeSpec:
        """The entry called `name`."""
        return next(node for node in self.pipeline.nodes if node.name == name)

    def predecessors(self, name: str) -> tuple[str, ...]:
        """Nodes that must end before `name` starts, sorted."""
        return tuple(sorted(self.dag.predecessors(name)))

    def only(self, keep: set[str]) -> Graph:
        """The same graph with only the nodes in `keep`; what they take from others must then already exist."""
        order = tuple(name for name in self.order if name in keep)
        return Graph(self.pipeline, self.ports, nx.DiGraph(self.dag.subgraph(keep)), order)


def build(pipeline: PipelineSpec, ports: Mapping[str, Ports], where: str = "") -> Graph:
    """Check `pipeline` against its nodes' `ports` and join it. `where` names its file in messages.

    Raises `UsageError` (exit 2) for unknown nodes and ports, `InvalidError` (exit 3) for missing producers, wrong types
    and cycles.
    """
    where = where or f"pipeline {pipeline.name}"
    dag = nx.DiGraph()
    for node in pipeline.nodes:
        dag.add_node(node.name)
    for node in pipeline.nodes:
        _check_inputs(pipeline, node, ports, where)
        sources = [source.partition(".")[0] for source in node.inputs.values()]
        for producer in [*sources, *node.after]:
            if producer != ITEM:
                _known(producer, ports, f"{where}: nodes.{node.name}")
                dag.add_edge(producer, node.name)
    _refuse_cycle(dag, where)
    position = {node.name: index for index, node in enumerate(pipeline.nodes)}
    return Graph(pipeline, ports, dag, tuple(nx.lexicographical_topological_sort(dag, key=position.__getitem__)))


def _check_inputs(pipeline: PipelineSpec, node: NodeSpec, ports: Mapping[str, Ports], where: str) -> None:
    wanted = ports[node.name].inputs
    for port, source in node.inputs.items():
        place = f"{where}: nodes.{node.name}.in.{port}"
        if port not in wanted:
            raise UsageError(f"{place}: {node.name} has no input {port!r}. {did_you_mean(port, wanted)}")
        given = _source_type(pipeline, source, ports, place)
        if given != wanted[port].type:
            raise InvalidError(
                f"{place}: {source} gives {given}, but {port} takes {wanted[port].type}. Join ports of one type."
            )
    for port, spec in wanted.items():
        if port not in node.inputs and not spec.optional:
            raise InvalidError(
                f"{where}: nodes.{node.name} has no producer for its input {port!r} ({spec.type}). Add `in: {{{port}: node.port}}`."
            )


def _source_type(pipeline: PipelineSpec, source: str, ports: Mapping[str, Ports], place: str) -> str:
    producer, dot, port = source.partition(".")
    if not dot or not port:
        raise InvalidError(f"{place}: {source!r} must be `node.port` or `item.port`.")
    if producer == ITEM:
        if port not in pipeline.items:
            raise UsageError(f"{place}: items have no {port!r}. {did_you_mean(port, pipeline.items)}")
        return pipeline.items[port]
    _known(producer, ports, place)
    outputs = ports[producer].outputs
    if port not in outputs:
        raise UsageError(f"{place}: {producer} has no output {port!r}. {did_you_mean(port, outputs)}")
    return outputs[port].type


def _known(name: str, ports: Mapping[str, Ports], place: str) -> None:
    if name not in ports:
        raise UsageError(f"{place}: there is no node {name!r}. {did_you_mean(name, [*ports, ITEM])}")


def _refuse_cycle(dag: nx.DiGraph, where: str) -> None:
    try:
        edges = nx.find_cycle(dag)
    except nx.NetworkXNoCycle:
        return
    path = [edges[0][0], *(after for _, after in edges)]
    raise InvalidError(
        f"{where}: the nodes wait for each other in a circle: {' -> '.join(path)}. Cut one of these edges."
    )
