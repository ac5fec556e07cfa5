"""Local search on sequences of model sets, for problems in which no output stays on the device.

There, once a set is resident, running every ready group it suffices for costs nothing, so a plan is a sequence of sets and
the groups follow from it. A set that finds nothing to run drops out, and groups left at the end bring their sets after all; so
taking one set out asks at once whether the loads it stands for were needed:

    a b c a d b   ->   a b c . d b   ->   a b c d b        where the groups of the second a can wait, or come earlier

Steps take a set out, move a stretch elsewhere, put a set in, or turn two round; simulated annealing accepts. What is before
the first change is not run again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from pipelines.plan.heuristics.eviction import NEVER, eviction_weights, victim
from pipelines.plan.heuristics.task_groups import TaskGroups

HOT, COLD = 0.2, 0.02  # in average reloads
LARGEST = 200_000  # sets times groups


@dataclass(slots=True)
class _SetSequence:
    """A sequence of sets, the groups each runs, its room for weights, and the done groups (bit mask) before each."""

    masks: list[int]
    groups: list[list[int]]
    rooms: list[int]
    done: list[int]
    cost: float = 0.0


class _SetTable:
    """Which groups each model set lets run, compiled to bit masks."""

    def __init__(self, groups: TaskGroups) -> None:
        instance = groups.instance
        self.groups, self.full = groups, (1 << len(groups)) - 1
        self.before = [sum(1 << pred for pred in row) for row in groups.preds]
        self.lists = dict(zip(groups.masks, groups.lists, strict=True))
        self.weights, self.reload, self.ratio = instance.weights, instance.reload_cost, eviction_weights(instance)
        self.sets = sorted(self.lists)
        self.served = {mask: self._served(mask) for mask in self.sets}
        used = sorted({model for row in groups.lists for model in row})
        self.unit = sum(self.reload[model] for model in used) / max(1, len(used))

    def _served(self, mask: int) -> list[int]:
        """Groups that run where `mask` is resident, predecessors first."""
        room, masks = self.groups.room - sum(self.weights[model] for model in self.lists[mask]), self.groups.masks
        return [
            group
            for group, space in enumerate(self.groups.space)
            if masks[group] == mask or (masks[group] & ~mask == 0 and space <= room)
        ]

    def blocks(self, base: _SetSequence, start: int, masks: Sequence[int]) -> _SetSequence:
        """The first `start` blocks of `base`, then `masks` where they find work, then what is left."""
        made = _SetSequence(base.masks[:start], base.groups[:start], base.rooms[:start], base.done[: start + 1])
        for mask in masks:
            self._add(made, mask)
        while made.done[-1] != self.full:
            done = made.done[-1]
            group = next(i for i, behind in enumerate(self.before) if not done >> i & 1 and not behind & ~done)
            self._add(made, self.groups.masks[group])
        self._price(made)
        return made

    def _add(self, made: _SetSequence, mask: int) -> None:
        done, before, space = made.done[-1], self.before, self.groups.space
        ran, widest = [], 0
        for group in self.served[mask]:
            if not done >> group & 1 and not before[group] & ~done:
                done |= 1 << group
                ran.append(group)
                if space[group] > widest:  # noqa: PLR1730 - the builtin is slower, and this is the innermost loop
                    widest = space[group]
        if not ran:
            return
        if made.masks and made.masks[-1] == mask:
            made.groups[-1] = made.groups[-1] + ran
            made.rooms[-1] = min(made.rooms[-1], self.groups.room - widest)
            made.done[-1] = done
            return
        made.masks.append(mask)
        made.groups.append(ran)
        made.rooms.append(self.groups.room - widest)
        made.done.append(done)

    def _price(self, made: _SetSequence) -> None:
        """Reload seconds of the sequence under forward eviction."""
        rows = [self.lists[mask] for mask in made.masks]
        next_use = [NEVER] * len(self.weights)
        later: list[list[int]] = []
        for place in range(len(rows) - 1, -1, -1):
            later.append([next_use[model] for model in rows[place]])
            for model in rows[place]:
                next_use[model] = place
        later.reverse()
        uses: dict[int, int] = {}
        loaded, resident_bytes, total = 0, 0, 0.0
        for place, row in enumerate(rows):
            for model, use in zip(row, later[place], strict=True):
                if model not in uses:
                    resident_bytes += self.weights[model]
                    if loaded >> model & 1:
                        total += self.reload[model]
                    loaded |= 1 << model
                uses[model] = use
            while resident_bytes > made.rooms[place]:
                evicted = victim(uses, made.masks[place], place, self.ratio)
                del uses[evicted]
                resident_bytes -= self.weights[evicted]
        made.cost = total


def applies(groups: TaskGroups) -> bool:
    """Whether no output is kept, and the table of what each set serves is small enough."""
    return not any(groups.keep) and len(set(groups.masks)) * len(groups) <= LARGEST


def improve_sets(groups: TaskGroups, order: Sequence[int], budget: int, draw: Random) -> tuple[list[int], float, int]:
    """(best order of groups, its reload seconds, expansions spent) by simulated annealing from `order`."""
    table = _SetTable(groups)
    empty = _SetSequence([], [], [], [0])
    current = best = table.blocks(empty, 0, [groups.masks[group] for group in order])
    spent = len(groups)
    while spent < budget and best.cost > 1e-12 and len(current.masks) > 1:
        heat = HOT * (COLD / HOT) ** (spent / budget) * table.unit
        start, masks = _step(current.masks, table.sets, draw)
        trial = table.blocks(current, start, masks)
        spent += 2 * len(trial.masks) - start
        worse = trial.cost - current.cost
        if worse <= 0 or (heat > 0 and draw.random() < math.exp(-worse / heat)):
            current = trial
            if current.cost < best.cost:
                best = current
    return [group for row in best.groups for group in row], best.cost, spent


def _step(masks: list[int], sets: list[int], draw: Random) -> tuple[int, list[int]]:
    """(blocks left as they are, the sets after them) of a neighbour."""
    count, kind = len(masks), draw.random()
    first = int(draw.random() * count)
    if kind < 0.25:
        return first, masks[first + 1 :]
    if kind < 0.4:
        return first, [sets[int(draw.random() * len(sets))], *masks[first:]]
    if kind < 0.5:
        last = min(count, first + 2 + int(draw.random() * 4))
        return first, masks[first:last][::-1] + masks[last:]
    last = min(count, first + 1 + (int(draw.random() * 4) if kind < 0.7 else 0))
    target = int(draw.random() * (count + 1))
    if target < first:
        return target, masks[first:last] + masks[target:first] + masks[last:]
    target = max(target, last)
    return first, masks[last:target] + masks[first:last] + masks[target:]
