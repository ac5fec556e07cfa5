"""Finds tasks that may be exchanged and orders them, so that a search meets each arrangement once. Drops no plan's cost.

Two facts make the extra edges harmless:

- Twins (equal needs and bytes, the same predecessors and successors) can swap places in any plan.
- In equal components (a song each, say) the j-th run of a node may be taken to belong to the j-th component: at least j
  runs of each of its predecessors came before, and an output is then freed no later than it was.

With the edges in place the done-sets that remain are counts per stage, yet still plain bit masks.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from typing import Any

from pipelines.plan.model.instance import Instance


def distinct(instance: Instance) -> int:
    """How many tasks are left when equal components count once: the size of the problem to a search."""
    return sum(len(group[0]) for group in _groups(instance))


def order_edges(instance: Instance) -> list[tuple[int, int]]:
    """Pairs (before, after) that any search for least load seconds may add. They hold no bytes."""
    edges = _twins(instance)
    for group in _groups(instance):
        for first, second in itertools.pairwise(group):
            edges += zip(first, second, strict=True)
    return edges


def _groups(instance: Instance) -> list[list[list[int]]]:
    """Components of equal form together, each as its tasks in matching order."""
    groups: dict[Hashable, list[list[int]]] = {}
    for component in _components(instance):
        ordered, form = _form(instance, component)
        groups.setdefault(form, []).append(ordered)
    return list(groups.values())


def _bytes_of(instance: Instance, task: int) -> tuple[int, int, int]:
    return (instance.needs[task], instance.workspace[task], instance.output[task])


def _twins(instance: Instance) -> list[tuple[int, int]]:
    groups: dict[Hashable, list[int]] = {}
    for task in range(len(instance.task_ids)):
        if instance.preds[task] or instance.succs[task]:
            places = (tuple(sorted(instance.preds[task])), tuple(sorted(instance.succs[task])))
            groups.setdefault((_bytes_of(instance, task), places), []).append(task)
    return [pair for group in groups.values() for pair in itertools.pairwise(group)]


def _components(instance: Instance) -> list[list[int]]:
    """Connected components, by lowest task."""
    seen = [False] * len(instance.task_ids)
    found = []
    for start in range(len(seen)):
        if seen[start]:
            continue
        seen[start], component = True, [start]
        for task in component:  # grows while it is walked
            for near in (*instance.preds[task], *instance.succs[task]):
                if not seen[near]:
                    seen[near] = True
                    component.append(near)
        found.append(sorted(component))
    return found


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
