"""The orders everybody tries first, as candidates: with them in the portfolio no plan is worse than they are.

First in first out, one component after the other, stage by stage over some components at a time, and a greedy that stays
with the models that are there. The first three do not look at bytes and may not fit; the greedy runs only what fits now,
and gives up in a dead end. Each is O(groups x log + edges), the greedy times the model sets.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from random import Random

from pipelines.plan.heuristics.dead_ends import Components, own_needs
from pipelines.plan.heuristics.task_groups import TaskGroups
from pipelines.plan.model.instance import Instance

WIDTHS = (4, 16, 64)  # components side by side
EXPLORATION = 0.05  # how often the randomised greedy goes to any set


def simple(groups: TaskGroups, parts: Components) -> Iterator[list[int]]:
    """First in first out, depth first, and waves of some and of all components."""
    yield first_in_first_out(groups)
    yield depth_first(groups)
    for width in (*(w for w in WIDTHS if w < len(parts.orders)), len(parts.orders)):
        yield stage_by_stage(groups, parts, width)


def first_in_first_out(groups: TaskGroups | Instance) -> list[int]:
    """Every group (or task) as soon as it is ready, lowest number first."""
    waiting = [len(before) for before in groups.preds]
    ready = [group for group, count in enumerate(waiting) if count == 0]
    order = []
    while ready:
        group = heapq.heappop(ready)
        order.append(group)
        for after in _released(groups, group, waiting):
            heapq.heappush(ready, after)
    return order


def depth_first(groups: TaskGroups) -> list[int]:
    """Always on with what became ready last."""
    waiting = [len(before) for before in groups.preds]
    stack = [group for group, count in enumerate(waiting) if count == 0][::-1]
    order = []
    while stack:
        order.append(stack.pop())
        stack += reversed(_released(groups, order[-1], waiting))
    return order


def stage_by_stage(groups: TaskGroups, parts: Components, width: int) -> list[int]:
    """`width` components at a time, generation after generation, equal model sets together."""
    stage = [0] * len(groups)
    for order in parts.orders:
        for group in order:
            stage[group] = max((stage[pred] + 1 for pred in groups.preds[group]), default=0)
    made: list[int] = []
    for start in range(0, len(parts.orders), width):
        batch = [group for order in parts.orders[start : start + width] for group in order]
        made += sorted(batch, key=lambda group: (stage[group], groups.masks[group], group))
    return made


def greedy(groups: TaskGroups, draw: Random | None = None) -> list[int] | None:
    """Stay with a model set while groups ready for it fit, then go to the one cheapest to reach; None in a dead end.

    Without `draw` the oldest group of a set comes first; with it any of the oldest few, and now and then a set drawn at random.
    """
    state = _Greedy(groups, draw)
    while len(state.order) < len(groups):
        group = state.choose()
        if group is None:
            return None
        state.run(group)
    return state.order


class _Greedy:
    def __init__(self, groups: TaskGroups, draw: Random | None) -> None:
        self.groups, self.draw = groups, draw
        self.needs = own_needs(groups)
        self.waiting = [len(before) for before in groups.preds]
        self.uses = [len(after) for after in groups.succs]
        self.ready: dict[int, list[int]] = {}
        self.order: list[int] = []
        self.live = self.current = 0
        for group, count in enumerate(self.waiting):
            if count == 0:
                self.ready.setdefault(groups.masks[group], []).append(group)

    def choose(self) -> int | None:
        """The next group: of this set, or of the cheapest to reach that has one that fits."""
        group = self._candidate(self.current)
        if group is not None and not (self.draw and self.draw.random() < EXPLORATION):
            return group
        costs = [(self._load_seconds_to(mask), mask) for mask in self.ready]
        if self.draw is not None and self.draw.random() < EXPLORATION:
            self.draw.shuffle(costs)
        else:
            costs.sort()
        return next((group for _, mask in costs if (group := self._candidate(mask)) is not None), None)

    def _load_seconds_to(self, mask: int) -> float:
        instance, missing = self.groups.instance, mask & ~self.current
        return sum(instance.reload_cost[m] for m in range(missing.bit_length()) if missing >> m & 1)

    def _candidate(self, mask: int) -> int | None:
        """A ready group of `mask` that fits: one that leaves least behind, of the oldest few."""
        room = self.groups.room - self.live
        fitting = [group for group in self.ready.get(mask, ())[:8] if self.needs[group] <= room]
        if self.draw is not None and len(fitting) > 1 and self.draw.random() < 0.5:
            return fitting[int(self.draw.random() * len(fitting))]
        return min(fitting, key=self._gain, default=None)

    def _gain(self, group: int) -> int:
        groups = self.groups
        return groups.keep[group] - sum(groups.keep[pred] for pred in groups.preds[group] if self.uses[pred] == 1)

    def run(self, group: int) -> None:
        groups = self.groups
        mask = self.current = groups.masks[group]
        self.live += self._gain(group)
        self.ready[mask].remove(group)
        if not self.ready[mask]:
            del self.ready[mask]
        for pred in groups.preds[group]:
            self.uses[pred] -= 1
        for after in _released(groups, group, self.waiting):
            self.ready.setdefault(groups.masks[after], []).append(after)
        self.order.append(group)


def _released(groups: TaskGroups | Instance, group: int, waiting: list[int]) -> list[int]:
    freed = []
    for after in groups.succs[group]:
        waiting[after] -= 1
        if waiting[after] == 0:
            freed.append(after)
    return freed
