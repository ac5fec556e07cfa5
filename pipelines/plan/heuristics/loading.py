"""What the loads of a given order cost: which models to unload when, loads written out as moves, and the moment of loading.

For a fixed order with models of unequal size the best choice is NP-hard (Folwarczny and Sgall 2015). `decide` goes
forward and, when room is short, unloads the model whose next use is furthest, weighed by bytes and reload seconds; dead
models go first. `retain` then goes through every gap between two uses that was paid for, dearest per byte and length first,
and keeps the model after all where every moment in between has room. `moves` writes it out, and unloads only when it must.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.plan.heuristics.eviction import NEVER, eviction_weights, victim
from pipelines.plan.heuristics.jobs import Jobs
from pipelines.plan.model.instance import Instance
from pipelines.plan.model.moves import LoadMove, Move, RunMove, UnloadMove
from pipelines.plan.model.needs import load_order, loading_peak


@dataclass(frozen=True, slots=True)
class Blocks:
    """Runs of one model set in a given order of jobs. Index by block.

    run_room: bytes for weights in its tightest moment of running; load_room: bytes while its models are loaded.
    """

    jobs: Jobs
    inside: tuple[tuple[int, ...], ...]
    masks: tuple[int, ...]
    lists: tuple[tuple[int, ...], ...]
    run_room: tuple[int, ...]
    load_room: tuple[int, ...]


def blocks_of(jobs: Jobs, order: Sequence[int]) -> Blocks:
    """Cut an order of jobs wherever the model set changes. O(jobs + edges)."""
    room, masks, keep, space, preds = jobs.room, jobs.masks, jobs.keep, jobs.space, jobs.preds
    waiting = [len(after) for after in jobs.succs]
    inside: list[list[int]] = []
    run_room: list[int] = []
    load_room: list[int] = []
    live, last = 0, -1
    for job in order:
        if masks[job] != last:
            last = masks[job]
            inside.append([])
            run_room.append(room)
            load_room.append(room - live)
        inside[-1].append(job)
        left = room - live - space[job]
        run_room[-1] = min(run_room[-1], left)
        live += keep[job]
        for pred in preds[job]:
            waiting[pred] -= 1
            if waiting[pred] == 0:
                live -= keep[pred]
    sets = tuple(masks[group[0]] for group in inside)
    lists = tuple(jobs.lists[group[0]] for group in inside)
    return Blocks(jobs, tuple(map(tuple, inside)), sets, lists, tuple(run_room), tuple(load_room))


@dataclass(slots=True)
class Uses:
    """Where each model is used, and which gaps between two uses it stays resident through."""

    at: list[list[int]]
    kept: list[list[bool]]


def decide(blocks: Blocks, ratio: Sequence[float]) -> Uses | None:
    """Choose what to unload going forward; None where a block does not fit even alone. O(uses x residents)."""
    instance = blocks.jobs.instance
    uses = _uses(blocks)
    seen = [0] * len(instance.model_ids)
    resident: dict[int, int] = {}
    held = 0
    for index, needed in enumerate(blocks.lists):
        missing = []
        for model in needed:
            seen[model] += 1
            if model in resident:
                uses.kept[model][seen[model] - 2] = True
            else:
                missing.append(model)
                held += instance.weights[model]
            resident[model] = uses.at[model][seen[model]] if seen[model] < len(uses.at[model]) else NEVER
        while held > blocks.run_room[index] or (missing and not _loads_fit(blocks, index, held, missing)):
            evicted = victim(resident, blocks.masks[index], index, ratio)
            if evicted >= 0:
                held -= instance.weights[evicted]
                del resident[evicted]
                continue
            again = _bring_again(instance, needed, missing)
            if again is None or held > blocks.run_room[index]:
                return None
            uses.kept[again][seen[again] - 2] = False
            missing.append(again)
    return uses


def _bring_again(instance: Instance, needed: Sequence[int], missing: Sequence[int]) -> int | None:
    """A needed model to unload and load once more, so that one with a high moment of loading can come first."""
    there = [model for model in needed if model not in missing]
    return min(there, key=lambda model: (instance.reload_cost[model], -instance.weights[model], model), default=None)


def _uses(blocks: Blocks) -> Uses:
    at: list[list[int]] = [[] for _ in blocks.jobs.instance.model_ids]
    for index, needed in enumerate(blocks.lists):
        for model in needed:
            at[model].append(index)
    return Uses(at, [[False] * max(0, len(indices) - 1) for indices in at])


def _loads_fit(blocks: Blocks, index: int, held: int, missing: Sequence[int]) -> bool:
    instance = blocks.jobs.instance
    others = held - sum(instance.weights[model] for model in missing)
    return others + loading_peak(instance, missing) <= blocks.load_room[index]


def reloads(blocks: Blocks, uses: Uses) -> float:
    """Reload seconds of the gaps through which a model does not stay."""
    cost = blocks.jobs.instance.reload_cost
    return sum(cost[model] * kept.count(False) for model, kept in enumerate(uses.kept))


def retain(blocks: Blocks, uses: Uses) -> None:
    """Undo superfluous unloads: keep a model through a gap where every moment inside has room for it."""
    instance = blocks.jobs.instance
    held = _held(blocks, uses)
    gaps = []
    for model, indices in enumerate(uses.at):
        for number, kept in enumerate(uses.kept[model]):
            if not kept:
                start, end = indices[number], indices[number + 1]
                value = instance.reload_cost[model] / (max(1, instance.weights[model]) * (end - start))
                gaps.append((-value, model, number))
    for _, model, number in sorted(gaps):
        start, end, weight = uses.at[model][number], uses.at[model][number + 1], instance.weights[model]
        room = all(held[i] + weight <= blocks.run_room[i] for i in range(start + 1, end))
        if room and _stays_loadable(blocks, uses, model, number, held):
            uses.kept[model][number] = True
            for i in range(start + 1, end):
                held[i] += weight


def _stays_loadable(blocks: Blocks, uses: Uses, model: int, number: int, held: list[int]) -> bool:
    """Whether the loads inside the gap, and at its end, still fit with `model` there."""
    weight = blocks.jobs.instance.weights[model]
    uses.kept[model][number] = True
    fits = True
    start, end = uses.at[model][number], uses.at[model][number + 1]
    for index in range(start + 1, end + 1):
        missing = [other for other in blocks.lists[index] if not _arrives(uses, other, index)]
        if missing and not _loads_fit(blocks, index, held[index] + (weight if index < end else 0), missing):
            fits = False
            break
    uses.kept[model][number] = False
    return fits


def _arrives(uses: Uses, model: int, index: int) -> bool:
    """Whether `model` is already there when block `index` that uses it begins."""
    number = bisect_left(uses.at[model], index)
    return number > 0 and uses.kept[model][number - 1]


def _held(blocks: Blocks, uses: Uses) -> list[int]:
    """Bytes of weights in each block: what it needs and what is kept through it."""
    change = [0] * (len(blocks.lists) + 1)
    for model, indices in enumerate(uses.at):
        weight = blocks.jobs.instance.weights[model]
        for number, index in enumerate(indices):
            change[index] += weight
            if number + 1 < len(indices) and uses.kept[model][number]:
                change[indices[number + 1]] -= weight
            else:
                change[index + 1] -= weight
    held, total = [], 0
    for step in change[:-1]:
        total += step
        held.append(total)
    return held


def moves(blocks: Blocks, uses: Uses) -> list[Move]:
    """Loads, runs and unloads. Models kept through a gap stay; others are unloaded when room is short, dead ones first."""
    instance = blocks.jobs.instance
    ratio = eviction_weights(instance)
    seen = [0] * len(instance.model_ids)
    resident: dict[int, int] = {}
    spare: set[int] = set()
    held = 0
    made: list[Move] = []
    for index, needed in enumerate(blocks.lists):
        missing = [model for model in needed if model not in resident]
        lucky = {model for model in needed if model in spare}  # here though not kept: may have to come again
        for model in needed:
            number = seen[model]
            seen[model] += 1
            last = number + 1 >= len(uses.at[model])
            resident[model] = NEVER if last else uses.at[model][number + 1]
            spare.discard(model)
            if last or not uses.kept[model][number]:
                spare.add(model)
        held += sum(instance.weights[model] for model in missing)
        while held > blocks.run_room[index] or (missing and not _loads_fit(blocks, index, held, missing)):
            idle = {model: resident[model] for model in sorted(spare)}
            evicted = victim(idle, blocks.masks[index], index, ratio)
            if evicted < 0:
                evicted = next(model for model in needed if model in lucky)
                lucky.discard(evicted)
                missing.append(evicted)
            else:
                held -= instance.weights[evicted]
                del resident[evicted]
                spare.discard(evicted)
            made.append(UnloadMove(evicted))
        made.extend(LoadMove(model) for model in load_order(instance, missing))
        made.extend(RunMove((task,)) for task in blocks.jobs.tasks(blocks.inside[index]))
    return made
