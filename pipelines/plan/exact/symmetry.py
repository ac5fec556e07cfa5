"""Orders equal items, so that a search meets each arrangement of them once. Drops no plan's cost.

Where connected components are equal (a song each, say, through the same nodes), the j-th run of a node may be taken to
belong to the j-th component: at least j runs of each of its predecessors came before, and an output is then freed no later
than it was. So each component's task may wait for the same task of the component before it:

    s1: separate -> transcribe        s1/separate -> s1/transcribe
    s2: separate -> transcribe             |               |            two extra edges, downwards
                                      s2/separate -> s2/transcribe

With the edges in place the sets of done tasks that remain are counts per node, yet still plain bit masks.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from typing import Any

from pipelines.plan.model.components import connected_components
from pipelines.plan.model.instance import Instance


def distinct(instance: Instance) -> int:
    """How many tasks are left when equal components count once: the size of the problem to a search."""
    return sum(len(group[0]) for group in _groups(instance))


def order_edges(instance: Instance) -> list[tuple[int, int]]:
    """Pairs (before, after) that any search for least load seconds may add. They hold no bytes."""
    edges: list[tuple[int, int]] = []
    for group in _groups(instance):
        for first, second in itertools.pairwise(group):
            edges += zip(first, second, strict=True)
    return edges


def _groups(instance: Instance) -> list[list[list[int]]]:
    """Components of equal form together, each as its tasks in matching order."""
    groups: dict[Hashable, list[list[int]]] = {}
    for component in connected_components(instance.preds, instance.succs):
        ordered, form = _form(instance, component)
        groups.setdefault(form, []).append(ordered)
    return list(groups.values())


def _bytes_of(instance: Instance, task: int) -> tuple[int, int, int]:
    return (instance.needs[task], instance.workspace[task], instance.output[task])


def _form(instance: Instance, component: Sequence[int]) -> tuple[list[int], Hashable]:
    """The component's tasks in an order made from their colours, and its whole structure written in that order.

    Equal forms are equal structures. Equal structures may get unequal forms where colours tie; that only costs speed.
    """
    colour: dict[int, Any] = {task: _bytes_of(instance, task) for task in component}
    for _ in range(min(len(component), 4)):
        raw = {
            task: (
                colour[task],
                tuple(sorted(colour[p] for p in instance.preds[task])),
                tuple(sorted(colour[s] for s in instance.succs[task])),
            )
            for task in component
        }
        rank = {value: index for index, value in enumerate(sorted(set(raw.values())))}
        colour = {task: rank[raw[task]] for task in component}
    ordered = sorted(component, key=lambda task: (colour[task], task))
    place = {task: index for index, task in enumerate(ordered)}
    form = tuple((_bytes_of(instance, task), tuple(sorted(place[p] for p in instance.preds[task]))) for task in ordered)
    return ordered, form
