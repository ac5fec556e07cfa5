"""What an order of jobs would cost to load, fast: the inner loop of local search. Only reloads count; first loads are paid anyway.

`Uniform` is exact for models of one size and one cost on free outputs: a model is kept between two uses where each moment in
between has a slot left, earliest end first and shortest first, which is optimal there (it is interval packing, and counts what
furthest-next-use would keep). It looks backwards only, so what an order shares with the last one accepted is not redone.
`Weighted` goes forward and unloads by distance to the next use, bytes and cost, for everything else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipelines.plan.heuristics.guard import own_needs
from pipelines.plan.heuristics.jobs import Jobs
from pipelines.plan.heuristics.loading import NEVER, ratios


class Uniform:
    """Reloads of jobs whose models all weigh and cost the same. Costs are whole numbers of loads kept from happening."""

    def __init__(self, jobs: Jobs) -> None:
        weight = max((jobs.instance.weights[m] for row in jobs.lists for m in row), default=1)
        self.unit = max((jobs.instance.reload_cost[m] for row in jobs.lists for m in row), default=0.0)
        models = len(jobs.instance.model_ids)
        self._masks = jobs.masks
        self._slots = [
            min(models, (jobs.room - space) // max(1, weight)) - len(row)
            for space, row in zip(jobs.space, jobs.lists, strict=True)
        ]
        uses = sum(len(row) for row in jobs.lists)
        self._avoidable = uses - sum(1 for m in range(models) if any(mask >> m & 1 for mask in jobs.masks))
        self._order: list[int] = []
        self._free: list[list[int]] = []
        self._kept: list[int] = []

    @staticmethod
    def suits(jobs: Jobs) -> bool:
        """Whether sizes, costs and moments of loading are all alike and nothing stays behind."""
        instance = jobs.instance
        used = {model for row in jobs.lists for model in row}
        figures = {(instance.weights[m], instance.reload_cost[m], instance.load_peak[m]) for m in used}
        return len(figures) <= 1 and all(w == p for w, _, p in figures) and not any(jobs.keep)

    def accept(self, order: Sequence[int], start: int) -> None:
        """Make `order` the one later trials are compared with; it is as the last one before position `start`."""
        self._order = list(order)
        del self._free[start + 1 :], self._kept[start + 1 :]
        if not self._free:
            self._free, self._kept = [[]], [0]
        masks = [self._masks[job] for job in order]
        free, kept = list(self._free[-1]), self._kept[-1]
        for end in range(len(self._free) - 1, len(order)):
            kept += _packed(masks, free, end)
            free.append(self._slots[order[end]])
            self._free.append(list(free))
            self._kept.append(kept)

    def cost(self, order: Sequence[int], start: int) -> tuple[float, int]:
        """(reload seconds, positions evaluated) of an order that is as the accepted one before `start`."""
        masks = [self._masks[job] for job in order]
        free, kept, slots = list(self._free[start]), self._kept[start], self._slots
        for end in range(start, len(order)):
            kept += _packed(masks, free, end)
            free.append(slots[order[end]])
        return (self._avoidable - kept) * self.unit, len(order) - start


def _packed(masks: Sequence[int], free: list[int], end: int) -> int:
    """How many of the models used at `end` can have stayed since their last use; takes their slots from `free`."""
    if end == 0:
        return 0
    before = masks[end - 1]
    here = masks[end]
    kept = (here & before).bit_count()
    rest = here & ~before
    place = end - 1
    slack = free[place]
    taken: list[tuple[int, int]] = []
    while rest and slack and place:
        place -= 1
        found = rest & masks[place]
        if found:
            rest ^= found
            count = found.bit_count()
            if count > slack:  # noqa: PLR1730 - the builtin is three times slower, and this is the innermost loop
                count = slack
            kept += count
            slack -= count
            taken.append((place, count))
        slack = min(slack, free[place])
    top = end
    total = sum(count for _, count in taken)
    for place, count in taken:
        for inner in range(place + 1, top):
            free[inner] -= total
        total -= count
        top = place + 1
    return kept


class Weighted:
    """Reload seconds under forward eviction. Orders that do not fit cost infinity."""

    def __init__(self, jobs: Jobs, rule: int = 0) -> None:
        instance = jobs.instance
        self._jobs = jobs
        self._ratio = ratios(instance, rule)
        self._needs = own_needs(jobs)
        self._alone = any(jobs.keep)
        used = {model for row in jobs.lists for model in row}
        costs = [instance.reload_cost[model] for model in sorted(used)]
        self.unit = sum(costs) / max(1, len(costs))

    def accept(self, order: Sequence[int], start: int) -> None:
        """Nothing to keep: unloads look forward."""

    def cost(self, order: Sequence[int], start: int) -> tuple[float, int]:
        """(reload seconds, positions evaluated)."""
        rooms = self._rooms(order)
        if rooms is None:
            return math.inf, len(order) // 2
        return self._reloads(order, rooms), len(order)

    def _rooms(self, order: Sequence[int]) -> list[int] | None:
        """Bytes for weights at each position; None where a job does not fit."""
        jobs, room = self._jobs, self._jobs.room
        if not self._alone:
            return [room - jobs.space[job] for job in order]
        waiting = [len(after) for after in jobs.succs]
        live, rooms = 0, []
        for job in order:
            if live + self._needs[job] > room:
                return None
            rooms.append(room - live - jobs.space[job])
            live += jobs.keep[job]
            for pred in jobs.preds[job]:
                waiting[pred] -= 1
                if waiting[pred] == 0:
                    live -= jobs.keep[pred]
        return rooms

    def _reloads(self, order: Sequence[int], rooms: Sequence[int]) -> float:
        jobs, weights, reload = self._jobs, self._jobs.instance.weights, self._jobs.instance.reload_cost
        lists = [jobs.lists[job] for job in order]
        coming = [NEVER] * len(weights)
        later: list[list[int]] = []
        for place in range(len(order) - 1, -1, -1):
            later.append([coming[model] for model in lists[place]])
            for model in lists[place]:
                coming[model] = place
        later.reverse()
        resident: dict[int, int] = {}
        loaded: set[int] = set()
        held, total = 0, 0.0
        for place, needed in enumerate(lists):
            for model, use in zip(needed, later[place], strict=True):
                if model not in resident:
                    held += weights[model]
                    if model in loaded:
                        total += reload[model]
                    loaded.add(model)
                resident[model] = use
            while held > rooms[place]:
                held -= weights[self._evict(resident, needed, place)]
        return total

    def _evict(self, resident: dict[int, int], needed: Sequence[int], place: int) -> int:
        victim, worst, ratio = -1, -1.0, self._ratio
        for model, use in resident.items():
            if model not in needed:
                if use == NEVER:
                    victim = model
                    break
                score = (use - place) * ratio[model]
                if score > worst:
                    victim, worst = model, score
        del resident[victim]
        return victim
