"""Reload seconds of an order of groups, exactly, where all models have one size and one reload time and no output is kept.

There memory is a number of slots, and staying resident between two uses is an interval that takes one slot at every group
in between. Packing intervals greedily, earliest end first and of those the shortest first, keeps as many as possible; it
keeps what Belady's rule (unload what is used again latest) would keep.

    groups     a   b   c   a   b        2 slots: each group leaves one beside its own model
    a        |-----------|            kept: one slot free at b and at c
    b            |-----------|        not kept: at c the slot is a's

It looks backwards only, so what an order shares with the last one accepted is not computed again. Other problems are
costed by `weighted.WeightedEvaluator`. First loads are paid in every order and not counted.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.plan.heuristics.task_groups import TaskGroups


class UniformEvaluator:
    """Reloads of groups whose models all weigh and cost the same. Costs are whole numbers of loads."""

    def __init__(self, groups: TaskGroups) -> None:
        weight = max((groups.instance.weights[m] for row in groups.lists for m in row), default=1)
        self.unit = max((groups.instance.reload_cost[m] for row in groups.lists for m in row), default=0.0)
        models = len(groups.instance.model_ids)
        self._masks = groups.masks
        self._slots = [
            min(models, (groups.room - space) // max(1, weight)) - len(row)
            for space, row in zip(groups.space, groups.lists, strict=True)
        ]
        uses = sum(len(row) for row in groups.lists)
        self._avoidable = uses - sum(1 for m in range(models) if any(mask >> m & 1 for mask in groups.masks))
        self._free: list[list[int]] = []
        self._saved: list[int] = []

    @staticmethod
    def applies(groups: TaskGroups) -> bool:
        """Whether sizes, costs and moments of loading are all alike and nothing stays behind."""
        instance = groups.instance
        used = {model for row in groups.lists for model in row}
        figures = {(instance.weights[m], instance.reload_cost[m], instance.load_peak[m]) for m in used}
        return len(figures) <= 1 and all(w == p for w, _, p in figures) and not any(groups.keep)

    def accept(self, order: Sequence[int], start: int) -> None:
        """Make `order` the one later trials are compared with; it is as the last one before position `start`."""
        del self._free[start + 1 :], self._saved[start + 1 :]
        if not self._free:
            self._free, self._saved = [[]], [0]
        masks = [self._masks[group] for group in order]
        free, saved = list(self._free[-1]), self._saved[-1]
        for end in range(len(self._free) - 1, len(order)):
            saved += _packed(masks, free, end)
            free.append(self._slots[order[end]])
            self._free.append(list(free))
            self._saved.append(saved)

    def cost(self, order: Sequence[int], start: int, end: int) -> tuple[float, int]:
        """(reload seconds, positions evaluated) of an order that is as the accepted one before `start` and from `end`."""
        masks = [self._masks[group] for group in order]
        free, saved, slots = list(self._free[start]), self._saved[start], self._slots
        for place in range(start, len(order)):
            saved += _packed(masks, free, place)
            free.append(slots[order[place]])
        return (self._avoidable - saved) * self.unit, len(order) - start

    def accepted(self) -> float:
        """Reload seconds of the order accepted last."""
        return (self._avoidable - self._saved[-1]) * self.unit

    def accept_cost(self, order: Sequence[int], start: int) -> int:
        """Expansions that accepting an order took."""
        return len(order) - start


def _packed(masks: Sequence[int], free: list[int], end: int) -> int:
    """How many of the models used at `end` can have stayed since their last use; takes their slots from `free`."""
    if end == 0:
        return 0
    before = masks[end - 1]
    here = masks[end]
    saved = (here & before).bit_count()
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
            saved += count
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
    return saved
