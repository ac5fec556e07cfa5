"""Local search on an order of groups: moves groups and stretches of groups, accepts by simulated annealing, keeps the best.

A step moves one group, or a few neighbours, next to a group with which it shares models or anywhere else, or turns a stretch
round; steps that break precedence are not tried. Budget in expansions: one is one group placed in one trial order. All
randomness comes from the generator given. The temperature falls from about one average reload to a twentieth of one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import Protocol

from pipelines.plan.heuristics.task_groups import TaskGroups

HOT, COLD = 0.6, 0.08  # in average reloads


class Evaluator(Protocol):
    """Computes reload seconds of orders; see `uniform` and `weighted`. unit: seconds of an average reload."""

    unit: float

    def accept(self, order: Sequence[int], start: int) -> None:
        """Remember an order."""

    def cost(self, order: Sequence[int], start: int, end: int) -> tuple[float, int]:
        """Reload seconds of an order changed in start..end, and the positions it took to find out."""

    def accepted(self) -> float:
        """Reload seconds of the order accepted last."""

    def accept_cost(self, order: Sequence[int], start: int) -> int:
        """Expansions that accepting an order took."""


def improve(
    groups: TaskGroups, order: Sequence[int], evaluator: Evaluator, budget: int, draw: Random
) -> tuple[list[int], float, int]:
    """(best order, its reload seconds, expansions spent)."""
    current = list(order)
    evaluator.accept(current, 0)
    cost, spent = evaluator.accepted(), len(current)
    best, best_cost = list(current), cost
    related = _related_groups(groups)
    position = [0] * len(groups)
    _set_positions(position, current, 0, len(current))
    while spent < budget and best_cost > 1e-12:
        heat = HOT * (COLD / HOT) ** (spent / budget) * evaluator.unit
        step = _step(groups, current, position, related, draw)
        if step is None:
            spent += 1
            continue
        trial, start, end = step
        found, used = evaluator.cost(trial, start, end)
        spent += used
        if found <= cost or (heat > 0 and draw.random() < math.exp((cost - found) / heat)):
            current = trial
            evaluator.accept(current, start)
            cost = evaluator.accepted()
            spent += evaluator.accept_cost(current, start)
            _set_positions(position, current, start, end)
            if cost < best_cost:
                best, best_cost = list(current), cost
    return best, best_cost, spent


def _related_groups(groups: TaskGroups) -> list[list[int]]:
    """For each group some others that share models with it, those that share most first."""
    users: dict[int, list[int]] = {}
    for group, row in enumerate(groups.lists):
        for model in row:
            users.setdefault(model, []).append(group)
    related = []
    for group, row in enumerate(groups.lists):
        shared: dict[int, int] = {}
        for model in row:
            for other in users[model][:200]:
                if other != group:
                    shared[other] = shared.get(other, 0) + 1
        related.append(sorted(shared, key=lambda other: (-shared[other], other))[:12])
    return related


def _set_positions(position: list[int], order: Sequence[int], start: int, end: int) -> None:
    for index in range(start, end):
        position[order[index]] = index


def _step(
    groups: TaskGroups, order: list[int], position: list[int], related: list[list[int]], draw: Random
) -> tuple[list[int], int, int] | None:
    """(a neighbour, first position that differs, last + 1); None where precedence forbids what was drawn."""
    count = len(order)
    if count < 2:
        return None
    kind = draw.random()
    first = int(draw.random() * count)
    if kind < 0.2:
        last = min(count, first + 2 + int(draw.random() * min(count, 12)))
        if any(position[after] < last for group in order[first:last] for after in groups.succs[group]):
            return None
        return order[:first] + order[first:last][::-1] + order[last:], first, last
    last = min(count, first + 1 + (int(draw.random() * 4) if kind < 0.5 else 0))
    near = related[order[first]]
    if near and draw.random() < 0.6:
        target = position[near[int(draw.random() * len(near))]] + (draw.random() < 0.5)
    else:
        target = int(draw.random() * (count + 1))
    return _moved(groups, order, position, first, last, target)


def _moved(
    groups: TaskGroups, order: list[int], position: list[int], first: int, last: int, target: int
) -> tuple[list[int], int, int] | None:
    """The groups at first..last put before position `target`."""
    stretch = order[first:last]
    if target < first:
        if any(target <= position[pred] < first for group in stretch for pred in groups.preds[group]):
            return None
        return order[:target] + stretch + order[target:first] + order[last:], target, last
    if target > last:
        if any(last <= position[after] < target for group in stretch for after in groups.succs[group]):
            return None
        return order[:first] + order[last:target] + stretch + order[target:], first, target
    return None
