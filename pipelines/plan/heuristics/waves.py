"""Waves: how many equal components to take through their tasks side by side, so that their outputs fit together.

Components of one shape (the same model sets and edges; sizes may differ) are taken in order and put into the open wave
until, at some step, what the wave keeps would pass `share` of the room that the step itself leaves. Large waves mean few
loads; smaller ones leave room for several models, or several waves, at a time: the caller tries a few shares.
"""

from __future__ import annotations

from pipelines.plan.heuristics.dead_ends import Components, own_needs
from pipelines.plan.heuristics.task_groups import TaskGroups


def waves(groups: TaskGroups, parts: Components, share: float) -> list[list[tuple[int, ...]]]:
    """`waves[w][c]`: the groups of component c of wave w, alike position by position. For plain groups. O(groups + edges)."""
    needs = own_needs(groups)
    open_waves: dict[object, _Wave] = {}
    made: list[_Wave] = []
    for order in parts.orders:
        shape = _shape(groups, order)
        loads = _kept(groups, order)
        own = [needs[group] for group in order]
        wave = open_waves.get(shape)
        if wave is None or not wave.takes(loads, own, groups.room, share):
            wave = open_waves[shape] = _Wave([0] * len(order), [0] * len(order))
            made.append(wave)
        wave.add(order, loads, own)
    return [wave.orders for wave in made]


class _Wave:
    """Components side by side: bytes kept at each step, and the largest own need there."""

    def __init__(self, kept: list[int], own: list[int]) -> None:
        self.kept, self.own = kept, own
        self.orders: list[tuple[int, ...]] = []

    def takes(self, loads: list[int], own: list[int], room: int, share: float) -> bool:
        return all(
            kept + load <= share * (room - max(most, need))
            for kept, load, most, need in zip(self.kept, loads, self.own, own, strict=True)
        )

    def add(self, order: tuple[int, ...], loads: list[int], own: list[int]) -> None:
        self.kept = [kept + load for kept, load in zip(self.kept, loads, strict=True)]
        self.own = [max(most, need) for most, need in zip(self.own, own, strict=True)]
        self.orders.append(order)


def _shape(groups: TaskGroups, order: tuple[int, ...]) -> tuple[object, ...]:
    place = {group: index for index, group in enumerate(order)}
    return tuple((groups.masks[group], tuple(sorted(place[pred] for pred in groups.preds[group]))) for group in order)


def _kept(groups: TaskGroups, order: tuple[int, ...]) -> list[int]:
    """Bytes of outputs alive at each step of the component's own order, the step's own included."""
    waiting = {group: len(groups.succs[group]) for group in order}
    live, kept = 0, []
    for group in order:
        live += groups.keep[group]
        kept.append(live)
        for pred in groups.preds[group]:
            waiting[pred] -= 1
            if waiting[pred] == 0:
                live -= groups.keep[pred]
    return kept
