"""The device on paper while a plan is being made: what is resident, live and done, and what the next task may evict."""

from __future__ import annotations

from pipelines.plan.assemble import LoadMove, Move, RunMove, UnloadMove
from pipelines.plan.instance import Instance
from pipelines.plan.presolve import load_order, load_span


class State:
    """One partial plan, moved forward task by task. Bytes without context; `room` as in `Instance`."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.resident = 0
        self.loaded = 0
        self.live = 0
        self.waiting = [len(before) for before in instance.preds]
        self.readers = [len(after) for after in instance.succs]
        self.uses = [0] * len(instance.model_ids)
        for needed in instance.need_lists:
            for model in needed:
                self.uses[model] += 1
        self.moves: list[Move] = []

    def weight(self, mask: int) -> int:
        """Bytes of the weights of a set of models."""
        total = 0
        while mask:
            low = mask & -mask
            total += self.instance.weights[low.bit_length() - 1]
            mask ^= low
        return total

    def cost(self, mask: int) -> float:
        """Seconds to load a set of models from here."""
        total = 0.0
        while mask:
            low = mask & -mask
            model = low.bit_length() - 1
            total += self.instance.reload_cost[model] if self.loaded & low else self.instance.load_cost[model]
            mask ^= low
        return total

    def keep(self, task: int) -> int | None:
        """The models to keep while `task`'s models load and it runs, or None where it cannot run now.

        Models no later task needs go first, then those whose return costs least per byte.
        """
        it, need = self.instance, self.instance.needs[task]
        if it.room is None:
            return self.resident
        room = it.room - self.live
        held = need & self.resident
        new = need & ~held
        if self._span(new) + self.weight(held) > room:
            held, new = 0, need
        spare = room - self.weight(need) - it.workspace[task] - it.output[task]
        spare = min(spare, room - self._span(new) - self.weight(held))
        return None if spare < 0 else self._stay(self.resident & ~need, spare) | held

    def _span(self, mask: int) -> int:
        return load_span(self.instance, bits(mask)) if mask else 0

    def _stay(self, others: int, spare: int) -> int:
        """The most valuable part of `others` that fits into `spare` bytes."""
        weights, uses, cost = self.instance.weights, self.uses, self.instance.reload_cost
        worth = sorted(bits(others), key=lambda m: (uses[m] == 0, -cost[m] / max(1, weights[m]), m))
        stay = 0
        for model in worth:
            if weights[model] <= spare:
                spare -= weights[model]
                stay |= 1 << model
        return stay

    def run(self, task: int, keep: int) -> list[int]:
        """Unload all but `keep`, load what `task` needs, run it. Returns the tasks it made ready."""
        it = self.instance
        self.moves += [UnloadMove(m) for m in bits(self.resident & ~keep)]
        new = it.needs[task] & ~keep
        self.moves += [LoadMove(m) for m in load_order(it, bits(new))]
        self.moves.append(RunMove((task,)))
        self.resident = keep | it.needs[task]
        self.loaded |= new
        for model in it.need_lists[task]:
            self.uses[model] -= 1
        return self._finish(task)

    def _finish(self, task: int) -> list[int]:
        it = self.instance
        self.live += it.output[task] if it.succs[task] else 0
        for before in it.preds[task]:
            self.readers[before] -= 1
            if self.readers[before] == 0:
                self.live -= it.output[before]
        ready = []
        for after in it.succs[task]:
            self.waiting[after] -= 1
            if self.waiting[after] == 0:
                ready.append(after)
        return ready

    def growth(self, task: int) -> int:
        """Live bytes `task` leaves behind, less those it frees."""
        it = self.instance
        freed = sum(it.output[before] for before in it.preds[task] if self.readers[before] == 1)
        return (it.output[task] if it.succs[task] else 0) - freed


def bits(mask: int) -> list[int]:
    """The set bits of `mask`, lowest first."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found
