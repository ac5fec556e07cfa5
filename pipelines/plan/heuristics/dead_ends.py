"""The guard against dead ends: admits only groups after which everything started can still be finished (banker's algorithm).

Outputs that stay on the device pile up, and a greedy order can reach a point where every ready task is too big for what is
left. As models can always be unloaded, a task's own need is constant, and only kept outputs couple tasks. So:

- tasks fall into connected components, and a component leaves nothing behind. Each gets an order of its own with a low peak
  (`components`); one component after the other is then feasible if each one is.
- while components are interleaved, each has a cursor: the first task of its order not yet run. Finishing it from there
  needs at most `tail[cursor]` + the bytes of outputs made ahead of the order. It is the banker's question with one resource:
  the state is safe where the started components, cheapest to finish first, can be finished one by one, each giving its
  outputs back. `allows` asks this of the state after a task, in O(1) when room is ample and O(started) when it is not.

     room  ....................................
                  tail[cursor] of the highest_claim
           ####### live outputs of all started
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pipelines.plan.heuristics.low_peak import low_peak_order, profile
from pipelines.plan.heuristics.task_groups import TaskGroups
from pipelines.plan.model.components import connected_components
from pipelines.plan.model.needs import loading_peak


@dataclass(frozen=True, slots=True)
class Components:
    """Connected components in order of first group.

    of: the component of each group. orders: each component's groups in its own order. tails: for each position of that order
    the highest bytes from there on, the component's live outputs included.
    """

    of: tuple[int, ...]
    orders: tuple[tuple[int, ...], ...]
    tails: tuple[tuple[int, ...], ...]


def own_needs(groups: TaskGroups) -> list[int]:
    """Bytes each group needs beyond kept outputs of others, at its worst moment: running, or loading its models."""
    instance = groups.instance
    load: dict[int, int] = {}
    weight: dict[int, int] = {}
    for mask, models in zip(groups.masks, groups.lists, strict=True):
        if mask not in load:
            load[mask] = loading_peak(instance, models)
            weight[mask] = sum(instance.weights[model] for model in models)
    return [max(weight[mask] + space, load[mask]) for mask, space in zip(groups.masks, groups.space, strict=True)]


def components(groups: TaskGroups, effort: int) -> Components:
    """Components with an order of low peak each; equal ones are worked out once. `effort`: states a hard one may cost."""
    needs = own_needs(groups)
    of = [0] * len(groups)
    orders, tails = [], []
    known: dict[tuple[object, ...], tuple[list[int], tuple[int, ...]]] = {}
    for number, inside in enumerate(connected_components(groups.preds, groups.succs)):
        local = {group: index for index, group in enumerate(inside)}
        before = tuple(tuple(local[pred] for pred in groups.preds[group]) for group in inside)
        need, keep = tuple(needs[group] for group in inside), tuple(groups.keep[group] for group in inside)
        key = (before, need, keep)
        if key not in known:
            order = low_peak_order(before, need, keep, groups.room, effort)
            moments = profile(order, before, need, keep)
            for index in range(len(moments) - 2, -1, -1):
                moments[index] = max(moments[index], moments[index + 1])
            known[key] = (order, tuple(moments))
        order, tail = known[key]
        orders.append(tuple(inside[index] for index in order))
        tails.append(tail)
        for group in inside:
            of[group] = number
    return Components(tuple(of), tuple(orders), tuple(tails))


@dataclass(slots=True)
class Guard:
    """The outputs on the device while an order of groups is being built.

    live: bytes of kept outputs. waiting: by group, successors that have not run. By component: `cursor`, the position in its
    own order up to which all groups ran; `ahead`, bytes of outputs made beyond it; `live_of`, its live bytes. started: for
    each component begun and not finished, the most bytes that finishing it takes beyond its live ones (its claim).
    """

    groups: TaskGroups
    parts: Components
    live: int = 0
    waiting: list[int] = field(default_factory=list)
    done: list[bool] = field(default_factory=list)
    cursor: list[int] = field(default_factory=list)
    ahead: list[int] = field(default_factory=list)
    live_of: list[int] = field(default_factory=list)
    started: dict[int, int] = field(default_factory=dict)
    highest_claim: int = 0

    @staticmethod
    def of(groups: TaskGroups, parts: Components) -> Guard:
        """Nothing run yet."""
        count = len(parts.orders)
        waiting = [len(after) for after in groups.succs]
        return Guard(groups, parts, 0, waiting, [False] * len(groups), [0] * count, [0] * count, [0] * count)

    def freed(self, group: int) -> int:
        """Bytes of outputs that end with `group`."""
        return sum(self.groups.keep[pred] for pred in self.groups.preds[group] if self.waiting[pred] == 1)

    def allows(self, group: int, need: int) -> bool:
        """Whether `group`, needing `need` bytes beyond live outputs, fits now and leaves a state that can be finished."""
        room = self.groups.room
        if self.live + need > room:
            return False
        part = self.parts.of[group]
        gain = self.groups.keep[group] - self.freed(group)
        extra = self._extra_after(group, part, gain)
        if self.live + gain + max(self.highest_claim, extra) <= room:
            return True
        return self._bankers(part, gain, extra)

    def _extra_after(self, group: int, part: int, gain: int) -> int:
        """Upper bound of what finishing the component takes beyond its own live outputs, once `group` has run."""
        order, cursor, ahead = self.parts.orders[part], self.cursor[part], self.ahead[part]
        if order[cursor] == group:
            cursor += 1
            while cursor < len(order) and self.done[order[cursor]]:
                ahead -= self.groups.keep[order[cursor]]
                cursor += 1
        else:
            ahead += self.groups.keep[group]
        if cursor == len(order):
            return 0
        return self.parts.tails[part][cursor] + ahead - (self.live_of[part] + gain)

    def _bankers(self, part: int, gain: int, extra: int) -> bool:
        """Whether the started components can be finished one by one, smallest claim first, each freeing its outputs."""
        live = self.live + gain
        claims = [(other, self.live_of[number]) for number, other in self.started.items() if number != part]
        claims.append((extra, self.live_of[part] + gain))
        claims.sort()
        for claim, held in claims:
            if live + claim > self.groups.room:
                return False
            live -= held
        return True

    def run(self, group: int) -> None:
        """Take note that `group` has run."""
        part = self.parts.of[group]
        gain = self.groups.keep[group] - self.freed(group)
        extra = self._extra_after(group, part, gain)
        self._advance(group, part)
        for pred in self.groups.preds[group]:
            self.waiting[pred] -= 1
        self.live += gain
        self.live_of[part] += gain
        if self.cursor[part] == len(self.parts.orders[part]):
            self.started.pop(part, None)
        else:
            self.started[part] = extra
            self.highest_claim = max(self.highest_claim, extra)

    def _advance(self, group: int, part: int) -> None:
        order = self.parts.orders[part]
        self.done[group] = True
        if order[self.cursor[part]] != group:
            self.ahead[part] += self.groups.keep[group]
            return
        self.cursor[part] += 1
        while self.cursor[part] < len(order) and self.done[order[self.cursor[part]]]:
            self.ahead[part] -= self.groups.keep[order[self.cursor[part]]]
            self.cursor[part] += 1

    def safe_group(self) -> int:
        """The group to run when nothing else may: the next one of the component cheapest to finish. Always fits."""
        if not self.started:
            return next(order[0] for number, order in enumerate(self.parts.orders) if self.cursor[number] == 0)
        part = min(self.started, key=lambda number: (self.started[number], number))
        return self.parts.orders[part][self.cursor[part]]


def feasible(parts: Components, room: int) -> bool:
    """Whether each component fits in its own order. False proves nothing."""
    return all(not tail or tail[0] <= room for tail in parts.tails)
