"""From an order of groups to loads and unloads: which models stay resident between two uses, written out as moves.

For a fixed order with models of unequal size the best choice is NP-hard (Folwarczny and Sgall 2015). Three steps:

1. `choose_evictions` goes forward and, where room is short, unloads the victim that `eviction` names.
2. `undo_evictions` visits every gap between two uses over which a model was unloaded, the dearest per byte and block
   first, and keeps the model after all where every block in between has room.
3. `to_moves` writes the loads, runs and unloads. A model is unloaded only when its room is needed.

    blocks      0: a    1: b    2: a c    3: b
    model a     use-----gap-----use                    stays if block 1 has room for a beside b
    model b             use-----gap-------use          stays if block 2 has room for b beside a and c
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from pipelines.plan.heuristics.eviction import NEVER, eviction_weights, victim
from pipelines.plan.heuristics.task_groups import TaskGroups
from pipelines.plan.model.instance import Instance
from pipelines.plan.model.moves import LoadMove, Move, RunMove, UnloadMove
from pipelines.plan.model.needs import load_order, loading_peak


@dataclass(frozen=True, slots=True)
class Blocks:
    """Runs of one model set in a given order of groups; everything by index of the block.

    inside: its groups. masks, lists: its models. run_room: bytes for weights in its tightest run. load_room: bytes for
    weights while its models are loaded.
    """

    groups: TaskGroups
    inside: tuple[tuple[int, ...], ...]
    masks: tuple[int, ...]
    lists: tuple[tuple[int, ...], ...]
    run_room: tuple[int, ...]
    load_room: tuple[int, ...]


def blocks_of(groups: TaskGroups, order: Sequence[int]) -> Blocks:
    """Cut an order of groups wherever the model set changes. O(groups + edges)."""
    room, masks, keep, space, preds = groups.room, groups.masks, groups.keep, groups.space, groups.preds
    waiting = [len(after) for after in groups.succs]
    inside: list[list[int]] = []
    run_room: list[int] = []
    load_room: list[int] = []
    live, last = 0, -1
    for group in order:
        if masks[group] != last:
            last = masks[group]
            inside.append([])
            run_room.append(room)
            load_room.append(room - live)
        inside[-1].append(group)
        run_room[-1] = min(run_room[-1], room - live - space[group])
        live += keep[group]
        for pred in preds[group]:
            waiting[pred] -= 1
            if waiting[pred] == 0:
                live -= keep[pred]
    sets = tuple(masks[block[0]] for block in inside)
    lists = tuple(groups.lists[block[0]] for block in inside)
    return Blocks(groups, tuple(map(tuple, inside)), sets, lists, tuple(run_room), tuple(load_room))


@dataclass(slots=True)
class ResidentSpans:
    """Where each model is used, and through which gaps between two uses it stays resident.

    uses[m]: the blocks that use model m, rising. stays[m][i]: whether m stays from uses[m][i] to uses[m][i + 1].
    """

    uses: list[list[int]]
    stays: list[list[bool]]

    def next_use(self, model: int, number: int) -> int:
        """The block of the use after use `number` of a model, or `NEVER`."""
        uses = self.uses[model]
        return uses[number + 1] if number + 1 < len(uses) else NEVER

    def resident_before(self, model: int, block: int) -> bool:
        """Whether `model` is resident already when a block that uses it begins."""
        number = bisect_left(self.uses[model], block)
        return number > 0 and self.stays[model][number - 1]

    def reload_seconds(self, instance: Instance) -> float:
        """Reload seconds of the gaps through which a model does not stay."""
        return sum(instance.reload_cost[model] * stays.count(False) for model, stays in enumerate(self.stays))


def _nothing_stays(blocks: Blocks) -> ResidentSpans:
    uses: list[list[int]] = [[] for _ in blocks.groups.instance.model_ids]
    for index, needed in enumerate(blocks.lists):
        for model in needed:
            uses[model].append(index)
    return ResidentSpans(uses, [[False] * max(0, len(blocks_of_model) - 1) for blocks_of_model in uses])


def choose_evictions(blocks: Blocks, weights: Sequence[float]) -> ResidentSpans | None:
    """Choose what to unload going forward; None where a block does not fit even alone. O(uses x resident models).

    weights: for each model what distance counts for, see `eviction.eviction_weights`.
    """
    instance = blocks.groups.instance
    spans = _nothing_stays(blocks)
    used = [0] * len(instance.model_ids)
    next_use: dict[int, int] = {}
    resident_bytes = 0
    for index, needed in enumerate(blocks.lists):
        missing = []
        for model in needed:
            if model in next_use:
                spans.stays[model][used[model] - 1] = True
            else:
                missing.append(model)
                resident_bytes += instance.weights[model]
            next_use[model] = spans.next_use(model, used[model])
            used[model] += 1
        while resident_bytes > blocks.run_room[index] or not _loads_fit(blocks, index, resident_bytes, missing):
            evicted = victim(next_use, blocks.masks[index], index, weights)
            if evicted >= 0:
                resident_bytes -= instance.weights[evicted]
                del next_use[evicted]
                continue
            again = _needed_to_reload(instance, needed, missing)
            if again is None or resident_bytes > blocks.run_room[index]:
                return None
            spans.stays[again][used[again] - 2] = False
            missing.append(again)
    return spans


def _needed_to_reload(instance: Instance, needed: Sequence[int], missing: Sequence[int]) -> int | None:
    """A needed, resident model to unload and load once more, so that one with a high load peak can be loaded before it."""
    resident = [model for model in needed if model not in missing]
    return min(resident, key=lambda model: (instance.reload_cost[model], -instance.weights[model], model), default=None)


def _loads_fit(blocks: Blocks, index: int, resident_bytes: int, missing: Sequence[int]) -> bool:
    """Whether `missing`, counted in `resident_bytes`, can be loaded for block `index` beside what else is resident."""
    if not missing:
        return True
    instance = blocks.groups.instance
    others = resident_bytes - sum(instance.weights[model] for model in missing)
    return others + loading_peak(instance, missing) <= blocks.load_room[index]


def undo_evictions(blocks: Blocks, spans: ResidentSpans) -> None:
    """Keep models through gaps where every block inside has room for them after all, the dearest gaps first."""
    instance = blocks.groups.instance
    resident_bytes = _resident_bytes(blocks, spans)
    gaps = []
    for model, uses in enumerate(spans.uses):
        for number, stays in enumerate(spans.stays[model]):
            if not stays:
                length = uses[number + 1] - uses[number]
                value = instance.reload_cost[model] / (max(1, instance.weights[model]) * length)
                gaps.append((-value, model, number))
    for _, model, number in sorted(gaps):
        start, end = spans.uses[model][number], spans.uses[model][number + 1]
        weight = instance.weights[model]
        room = all(resident_bytes[i] + weight <= blocks.run_room[i] for i in range(start + 1, end))
        if room and _loads_still_fit(blocks, spans, model, number, resident_bytes):
            spans.stays[model][number] = True
            for i in range(start + 1, end):
                resident_bytes[i] += weight


def _loads_still_fit(
    blocks: Blocks, spans: ResidentSpans, model: int, number: int, resident_bytes: Sequence[int]
) -> bool:
    """Whether the loads inside the gap, and at its end, still fit if `model` stays."""
    weight = blocks.groups.instance.weights[model]
    start, end = spans.uses[model][number], spans.uses[model][number + 1]
    spans.stays[model][number] = True  # so that the block at the end does not count it as missing
    fits = True
    for index in range(start + 1, end + 1):
        missing = [other for other in blocks.lists[index] if not spans.resident_before(other, index)]
        if not _loads_fit(blocks, index, resident_bytes[index] + (weight if index < end else 0), missing):
            fits = False
            break
    spans.stays[model][number] = False
    return fits


def _resident_bytes(blocks: Blocks, spans: ResidentSpans) -> list[int]:
    """Bytes of weights in each block: of the models it needs and of those that stay through it."""
    change = [0] * (len(blocks.lists) + 1)
    for model, uses in enumerate(spans.uses):
        weight = blocks.groups.instance.weights[model]
        for number, index in enumerate(uses):
            change[index] += weight
            stays = number + 1 < len(uses) and spans.stays[model][number]
            change[uses[number + 1] if stays else index + 1] -= weight
    return list(accumulate(change[:-1]))


def to_moves(blocks: Blocks, spans: ResidentSpans) -> list[Move]:
    """Loads, runs and unloads. A model that need not stay is unloaded only when room is short."""
    instance = blocks.groups.instance
    weights = eviction_weights(instance)
    used = [0] * len(instance.model_ids)
    next_use: dict[int, int] = {}
    removable: set[int] = set()  # resident models that need not stay
    resident_bytes = 0
    moves: list[Move] = []
    for index, needed in enumerate(blocks.lists):
        missing = [model for model in needed if model not in next_use]
        leftovers = {model for model in needed if model in removable}  # resident though not promised: may be reloaded
        for model in needed:
            number = used[model]
            used[model] += 1
            next_use[model] = spans.next_use(model, number)
            removable.discard(model)
            if next_use[model] == NEVER or not spans.stays[model][number]:
                removable.add(model)
        resident_bytes += sum(instance.weights[model] for model in missing)
        while resident_bytes > blocks.run_room[index] or not _loads_fit(blocks, index, resident_bytes, missing):
            candidates = {model: next_use[model] for model in sorted(removable)}
            evicted = victim(candidates, blocks.masks[index], index, weights)
            if evicted < 0:
                evicted = next(model for model in needed if model in leftovers)
                leftovers.discard(evicted)
                missing.append(evicted)
            else:
                resident_bytes -= instance.weights[evicted]
                del next_use[evicted]
                removable.discard(evicted)
            moves.append(UnloadMove(evicted))
        moves.extend(LoadMove(model) for model in load_order(instance, missing))
        moves.extend(RunMove((task,)) for task in blocks.groups.tasks(blocks.inside[index]))
    return moves
