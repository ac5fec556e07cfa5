"""A plan as slots: each run with the loads before it and the unloads after it. The form the finishing passes work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipelines.plan.model.instance import Instance
from pipelines.plan.model.moves import LoadMove, Move, RunMove, UnloadMove
from pipelines.plan.model.needs import load_order


@dataclass(slots=True)
class Slot:
    """Load `loads`, run `tasks` (with `prefetches` beside them), unload `unloads`. Without tasks, only unload."""

    tasks: list[int]
    loads: list[int] = field(default_factory=list)
    unloads: list[int] = field(default_factory=list)
    prefetches: list[int] = field(default_factory=list)


def to_slots(instance: Instance, moves: Sequence[Move]) -> list[Slot]:
    """Slots of `moves`, without prefetches: each load right before the run it stood before, each unload right after
    the last run that uses the model. A load no run uses before its unload is dropped with it.
    """
    slots: list[Slot] = []
    last_use: dict[int, int] = {}
    loaded_at: dict[int, int] = {}

    def close(model: int) -> None:
        start = loaded_at.pop(model)
        end = last_use.pop(model, None)
        if end is not None:
            slots[start].loads.append(model)
            slots[end].unloads.append(model)

    for move in moves:
        if isinstance(move, LoadMove):
            loaded_at[move.model] = len(slots)
        elif isinstance(move, UnloadMove):
            close(move.model)
        else:
            for task in move.tasks:
                last_use.update(dict.fromkeys(instance.need_lists[task], len(slots)))
            slots.append(Slot(list(move.tasks)))
    for model in sorted(loaded_at):
        close(model)
    for slot in slots:
        slot.loads = load_order(instance, slot.loads)
        slot.unloads.sort()
    return slots


def to_moves(slots: Sequence[Slot]) -> list[Move]:
    """The moves of `slots`, prefetches naming the first task of their run."""
    moves: list[Move] = []
    for slot in slots:
        moves += [LoadMove(model) for model in slot.loads]
        moves += [LoadMove(model, slot.tasks[0]) for model in slot.prefetches]
        if slot.tasks:
            moves.append(RunMove(tuple(slot.tasks)))
        moves += [UnloadMove(model) for model in slot.unloads]
    return moves


@dataclass(frozen=True, slots=True)
class Bytes:
    """Moments of each slot, without context and prefetches. `before`: resident and live before its loads; `running`: the run."""

    before: list[int]
    running: list[int]


def measure(instance: Instance, slots: Sequence[Slot]) -> Bytes:
    """The bytes of every slot. O(tasks + edges)."""
    readers = [len(after) for after in instance.succs]
    resident = 0
    before, running = [], []
    for slot in slots:
        before.append(resident)
        resident += sum(instance.weights[m] for m in slot.loads) + sum(instance.output[t] for t in slot.tasks)
        running.append(resident + sum(instance.workspace[t] for t in slot.tasks))
        for task in slot.tasks:
            if not instance.succs[task]:
                resident -= instance.output[task]
            for pred in instance.preds[task]:
                readers[pred] -= 1
                if readers[pred] == 0:
                    resident -= instance.output[pred]
        resident -= sum(instance.weights[m] for m in slot.unloads)
    return Bytes(before, running)
