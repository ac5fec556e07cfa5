"""Reload seconds of an order of groups whose evictions follow `eviction`, computed anew only where an order differs.

A trial order differs from the accepted one in a stretch. The walk starts there and ends after it, as soon as the resident
models are those of the accepted order: from then on nothing differs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipelines.plan.heuristics.dead_ends import own_needs
from pipelines.plan.heuristics.eviction import NEVER, eviction_weights, victim
from pipelines.plan.heuristics.task_groups import TaskGroups
from pipelines.plan.model.bits import bits


class WeightedEvaluator:
    """The `local_search.Evaluator` of problems with unequal models or kept outputs. Orders that do not fit cost infinity.

    Of the accepted order it stores, for each position: models resident and ever loaded before it (bit masks), reload
    seconds so far, live bytes, and for each model its next use from there.
    """

    def __init__(self, groups: TaskGroups) -> None:
        instance = groups.instance
        self._groups = groups
        self._ratio = eviction_weights(instance)
        self._needs = own_needs(groups)
        self._keeps = any(groups.keep)
        used = sorted({model for row in groups.lists for model in row})
        self.unit = sum(instance.reload_cost[model] for model in used) / max(1, len(used))
        self._place = [0] * len(groups)
        self._next_use: list[list[int]] = []
        self._resident: list[int] = []
        self._loaded: list[int] = []
        self._paid: list[float] = []
        self._live: list[int] = []
        self._total = 0.0

    def accept(self, order: Sequence[int], start: int) -> None:
        """Make `order` the one later trials are compared with. O(order x models)."""
        for place, group in enumerate(order):
            self._place[group] = place
        self._index_next_uses(order)
        self._resident, self._loaded, self._paid, self._live = [], [], [], []
        self._total = math.inf
        rooms = self._rooms(order, 0, len(order), record=True)
        if rooms is not None:
            self._total = self._forward(order, 0, len(order), rooms, record=True)[0]

    def cost(self, order: Sequence[int], start: int, end: int) -> tuple[float, int]:
        """(reload seconds, positions evaluated) of an order that differs from the accepted one in start..end only."""
        if not order:
            return 0.0, 1
        rooms = self._rooms(order, start, end, record=False)
        if rooms is None:
            return math.inf, max(1, (end - start) // 2)
        total, last = self._forward(order, start, end, rooms, record=False)
        return total, max(1, last - start)

    def accepted(self) -> float:
        """Reload seconds of the accepted order."""
        return self._total

    def accept_cost(self, order: Sequence[int], start: int) -> int:
        """Expansions that accepting an order took."""
        return len(order)

    def _index_next_uses(self, order: Sequence[int]) -> None:
        next_use = [NEVER] * len(self._ratio)
        rows = [next_use.copy()]
        for place in range(len(order) - 1, -1, -1):
            for model in self._groups.lists[order[place]]:
                next_use[model] = place
            rows.append(next_use.copy())
        rows.reverse()
        self._next_use = rows

    def _rooms(self, order: Sequence[int], start: int, end: int, *, record: bool) -> list[int] | None:
        """Bytes for weights at each position of start..end; None where a group does not fit."""
        groups, room, space = self._groups, self._groups.room, self._groups.space
        if not self._keeps:
            return [room - space[order[place]] for place in range(start, end)]
        live = 0 if record else self._live[start]
        waiting: dict[int, int] = {}
        rooms = []
        for place in range(start, end):
            group = order[place]
            if record:
                self._live.append(live)
            if live + self._needs[group] > room:
                return None
            rooms.append(room - live - space[group])
            live += groups.keep[group]
            for pred in groups.preds[group]:
                if pred not in waiting:
                    waiting[pred] = sum(1 for after in groups.succs[pred] if self._place[after] >= start)
                waiting[pred] -= 1
                if waiting[pred] == 0:
                    live -= groups.keep[pred]
        return rooms

    def _later(self, order: Sequence[int], start: int, end: int) -> tuple[list[list[int]], list[int]]:
        """Next uses of each position's models, and of every model at `start`, in an order changed in start..end."""
        lists = self._groups.lists
        next_use = self._next_use[end].copy()
        later = []
        for place in range(end - 1, start - 1, -1):
            row = lists[order[place]]
            later.append([next_use[model] for model in row])
            for model in row:
                next_use[model] = place
        later.reverse()
        return later, next_use

    def _forward(
        self, order: Sequence[int], start: int, end: int, rooms: list[int], *, record: bool
    ) -> tuple[float, int]:
        """(reload seconds of the whole order, where the walk ended)."""
        lists, masks = self._groups.lists, self._groups.masks
        weights, reload = self._groups.instance.weights, self._groups.instance.reload_cost
        later, next_use = self._later(order, start, end)
        mask = 0 if record else self._resident[start]
        loaded = 0 if record else self._loaded[start]
        total = 0.0 if record else self._paid[start]
        uses = {model: next_use[model] for model in bits(mask)}
        resident_bytes = sum(weights[model] for model in uses)
        count = len(order)
        for place in range(start, count):
            if record:
                self._resident.append(mask)
                self._loaded.append(loaded)
                self._paid.append(total)
            elif place >= end and mask == self._resident[place]:
                return total + self._total - self._paid[place], place
            group = order[place]
            row = lists[group]
            missing = masks[group] & ~mask
            if place < end:
                room = rooms[place - start]
                uses.update(zip(row, later[place - start], strict=True))
            else:
                room = self._room_after(group, place)
                uses.update((model, self._next_use[place + 1][model]) for model in row)
            if missing:
                resident_bytes += sum(weights[model] for model in row if missing >> model & 1)
                total += sum(reload[model] for model in row if missing >> model & loaded >> model & 1)
                mask |= missing
                loaded |= missing
            while resident_bytes > room:
                evicted = victim(uses, masks[group], place, self._ratio)
                del uses[evicted]
                resident_bytes -= weights[evicted]
                mask ^= 1 << evicted
        return total, count

    def _room_after(self, group: int, place: int) -> int:
        live = self._live[place] if self._keeps else 0
        return self._groups.room - live - self._groups.space[group]
