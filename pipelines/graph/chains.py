"""Finds chains: nodes that stream their sound into each other, as `stream: true` in the pipeline wants. What they need is `fuse`'s.

A chain is executed as one task: its models are resident together and its workspaces are held at once, and so it is planned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

from pipelines.graph.build import ITEM, Graph
from pipelines.schema.errors import InvalidError

#: Names of a chain's nodes, the first one first.
Chain = tuple[str, ...]
Able = Callable[[str], bool]


def find_stream_chains(graph: Graph, can_start: Able, can_continue: Able) -> tuple[Chain, ...]:
    """The longest chains of two nodes or more, in the order of the graph.

    can_start: whether a node can give its sound chunk by chunk. can_continue: whether it can take its input that way.
    Raises `InvalidError` for a `stream: true` where the input is no sound of another node.
    """
    found: list[Chain] = []
    for name in graph.order:
        before = streams_from(graph, name)
        if before is None or not can_continue(name):
            continue
        ends = next((chain for chain in found if chain[-1] == before), None)
        if ends is not None and _is_free(graph, (*ends, name)):
            found[found.index(ends)] = (*ends, name)
        elif not any(before in chain for chain in found) and _can_start(graph, before, name, can_start):
            found.append((before, name))
    return tuple(found)


def streams_from(graph: Graph, name: str) -> str | None:
    """The node whose sound `name` is to take chunk by chunk; None where the pipeline does not say so."""
    spec, ports = graph.node(name), graph.ports
    if not spec.stream:
        return None
    where = f"pipeline {graph.pipeline.name}: nodes.{name}.stream"
    port = next(iter(ports[name].inputs), "")
    producer, _, output = spec.inputs.get(port, "").partition(".")
    if producer in ("", ITEM):
        raise InvalidError(
            f"{where}: nothing can stream in, for its first input {port!r} is not another node's output."
        )
    first = next(iter(ports[producer].outputs))
    if output != first or ports[producer].outputs[first].type != "audio":
        raise InvalidError(
            f"{where}: {producer}.{output} cannot stream; only a node's first output can, and only sound. Set stream to false."
        )
    return producer


def _can_start(graph: Graph, before: str, name: str, can_start: Callable[[str], bool]) -> bool:
    return before in graph.order and can_start(before) and _is_free(graph, (before, name))


def _is_free(graph: Graph, chain: Chain) -> bool:
    """Whether a chain can be done in one go: nothing outside it comes between its nodes, and they share no other input."""
    inside = set(chain)
    for before, name in pairwise(chain):
        takes = [source.partition(".")[0] for source in graph.node(name).inputs.values()]
        others = [other for other in graph.predecessors(name) if other != before]
        if takes.count(before) > 1 or inside.intersection(others):
            return False
        if inside.intersection(_before(graph, others)):
            return False
    return True


def _before(graph: Graph, names: Iterable[str]) -> set[str]:
    """All nodes that `names` wait for. (networkx could tell, but importing it costs a plan a tenth of a second.)"""
    found: set[str] = set()
    waiting = [*names]
    while waiting:
        new = set(graph.predecessors(waiting.pop())) - found
        found |= new
        waiting += new
    return found
