"""Joins runs: several tasks at the same time, where the problem has several streams and their bytes fit. Adds no load.

Each run is offered the tasks that stand within the next few runs, before any further load: the one that saves most
time comes forward, as long as the run has a stream free, no model is used twice that may not be shared, and every
moment up to the task's old place has room for its output.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.plan.model.instance import Instance
from pipelines.plan.model.slots import Slot, measure, to_moves, to_slots

#: How many runs ahead a partner is looked for; keeps the pass linear.
AHEAD = 32


def join_runs(instance: Instance, slots: Sequence[Slot]) -> list[Slot]:
    """`slots` with tasks joined, at most `streams` a run. Loads stay where they are."""
    streams = instance.problem.streams
    made = list(slots)
    if streams == 1:
        return made
    run_bytes = _RunBytes(instance, made)
    for index, slot in enumerate(made):
        while 0 < len(slot.tasks) < streams:
            partner = _partner(instance, made, run_bytes, index)
            if partner is None:
                break
            run_bytes.join(index, partner)
    return to_slots(instance, to_moves([slot for slot in made if slot.tasks or slot.unloads]))


class _RunBytes:
    """Bytes of each slot's run while tasks move forward."""

    def __init__(self, instance: Instance, slots: list[Slot]) -> None:
        self.it, self.slots = instance, slots
        self.running = measure(instance, slots).running

    def allows(self, index: int, other: int) -> bool:
        """Whether the task of slot `other` may run in slot `index`."""
        if self.it.room is None:
            return True
        task = self.slots[other].tasks[0]
        output = self.it.output[task]
        if self.running[index] + output + self.it.workspace[task] > self.it.room:
            return False
        return not output or all(self.running[i] + output <= self.it.room for i in range(index + 1, other))

    def join(self, index: int, other: int) -> None:
        """Move the task of slot `other` into slot `index`."""
        task = self.slots[other].tasks.pop()
        self.running[index] += self.it.workspace[task]
        for slot in range(index, other):
            self.running[slot] += self.it.output[task]
        self.slots[index].tasks.append(task)


def _partner(instance: Instance, slots: list[Slot], run_bytes: _RunBytes, index: int) -> int | None:
    """The slot whose task saves most by joining slot `index`: nearest in length, then nearest in place."""
    here = slots[index].tasks
    busy = 0
    for task in here:
        busy |= instance.needs[task] & ~instance.shareable
    longest = max(instance.seconds[task] for task in here)
    best: tuple[float, float, int] | None = None
    skipped = set(here)
    for other in range(index + 1, min(index + 1 + AHEAD, len(slots))):
        if slots[other].loads:
            break
        if not slots[other].tasks:
            continue
        task = slots[other].tasks[0]
        free = not instance.needs[task] & busy and skipped.isdisjoint(instance.preds[task])
        if free and run_bytes.allows(index, other):
            seconds = instance.seconds[task]
            choice = (-min(seconds, longest), max(seconds, longest), other)
            best = choice if best is None or choice < best else best
        skipped.add(task)
    return None if best is None else best[2]
