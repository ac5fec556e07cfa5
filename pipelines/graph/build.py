"""Joins a pipeline's nodes into a checked graph. Every fault is named with its file, its key and the nearest valid names."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from pipelines.schema.config import NodeSpec, PipelineSpec
from pipelines.schema.errors import InvalidError, UsageError, did_you_mean
from pipelines.schema.node import Port

if TYPE_CHECKING:
    import networkx as nx

ITEM = "item"


@dataclass(frozen=True, slots=True)
class Ports:
    """What a node takes and gives, by port name."""

    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]


@dataclass(frozen=True)
class Graph:
    """A checked pipeline. after: the producers of each node, sorted. order: one topological order, stable."""

    pipeline: PipelineSpec
    ports: Mapping[str, Ports]
    after: Mapping[str, tuple[str, ...]]
    order: tuple[str, ...]

    @cached_property
    def dag(self) -> nx.DiGraph:
        """Node names joined producer -> consumer, for questions about paths. Made when first needed: the import is a third of a plan."""
        import networkx as nx

        dag = nx.DiGraph()
        dag.add_nodes_from(node.name for node in self.pipeline.nodes if node.name in self.after)
        dag.add_edges_from(self.edges)
        return dag

    @property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """(producer, consumer), in the order of the nodes."""
        return tuple((before, name) for name in self.order for before in self.after[name])

    def node(self, name: str) -> NodeSpec:
        """The entry called `name`."""
        return next(node for node in self.pipeline.nodes if node.name == name)

    def predecessors(self, name: str) -> tuple[str, ...]:
        """Nodes that must end before `name` starts, sorted."""
        return self.after[name]

    def only(self, keep: set[str]) -> Graph:
        """The same graph with only the nodes in `keep`; what they take from others must then already exist."""
        order = tuple(name for name in self.order if name in keep)
        after = {name: tuple(before for before in self.after[name] if before in keep) for name in order}
        return Graph(self.pipeline, self.ports, after, order)


def build(pipeline: PipelineSpec, ports: Mapping[str, Ports], where: str = "") -> Graph:
    """Check `pipeline` against its nodes' `ports` and join it. `where` names its file in messages.

    Raises `UsageError` (exit 2) for unknown nodes and ports, `InvalidError` (exit 3) for missing producers, wrong types
    and cycles.
    """
    where = where or f"pipeline {pipeline.name}"
    after: dict[str, tuple[str, ...]] = {}
    for node in pipeline.nodes:
        _check_inputs(pipeline, node, ports, where)
        sources = [source.partition(".")[0] for source in node.inputs.values()]
        producers = sorted({*sources, *node.after} - {ITEM})
        for producer in producers:
            _known(producer, ports, f"{where}: nodes.{node.name}")
        after[node.name] = tuple(producers)
    return Graph(pipeline, ports, after, _order([node.name for node in pipeline.nodes], after, where))


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


def _order(names: Iterable[str], after: Mapping[str, tuple[str, ...]], where: str) -> tuple[str, ...]:
    """The topological order in which, of the nodes that are ready, the one written first comes first."""
    position = {name: index for index, name in enumerate(names)}
    sorter = TopologicalSorter({name: after[name] for name in position})
    try:
        sorter.prepare()
    except CycleError as error:
        raise InvalidError(
            f"{where}: the nodes wait for each other in a cycle: {' -> '.join(error.args[1])}. Cut one of these edges."
        ) from None
    ready: list[tuple[int, str]] = []
    order: list[str] = []
    while sorter.is_active():
        for name in sorter.get_ready():
            heapq.heappush(ready, (position[name], name))
        order.append(heapq.heappop(ready)[1])
        sorter.done(order[-1])
    return tuple(order)
