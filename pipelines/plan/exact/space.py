"""The state space of the exact search: sets of done tasks, moves that cost nothing, and which models may be evicted.

Where room is short, `stays` gives every largest set of models that may stay resident, with the reloads that evicting the rest costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pipelines.plan.exact.symmetry import order_edges
from pipelines.plan.model.bits import bits
from pipelines.plan.model.instance import Instance
from pipelines.plan.model.needs import loading_peak

#: With more models than this that it can pay to load early, only pairs of them are tried, and nothing is proved.
MOST_EARLY_MODELS = 5


class OutOfWork(Exception):
    """The budget of a search is spent."""


@dataclass(slots=True)
class Done:
    """One set of done tasks. Bit masks of tasks: `ready`; of models: `needed` later, `ever` needed before. `live`: bytes of
    outputs still awaited. `seen`: units paid to reach it, by the mask of resident models."""

    ready: int
    live: int
    needed: int
    ever: int
    seen: dict[int, int] = field(default_factory=dict)


def exact_costs(*rows: tuple[float, ...]) -> tuple[int, list[list[int]]]:
    """Seconds as whole numbers of one common unit, exactly: (units a second, rows). Sums of them carry no rounding."""
    unit = 1
    for row in rows:
        for value in row:
            unit = max(unit, value.as_integer_ratio()[1])  # denominators of floats are powers of two
    whole = [[(ratio := value.as_integer_ratio())[0] * (unit // ratio[1]) for value in row] for row in rows]
    return unit, whole


class Space:
    """An instance under a finite limit, with tasks and models as bits and costs as whole numbers."""

    def __init__(self, instance: Instance) -> None:
        assert instance.room is not None
        it = self.instance = instance
        self.room: int = instance.room
        self.count = len(it.task_ids)
        self.unit, (self.load, self.reload) = exact_costs(it.load_cost, it.reload_cost)
        self.needs = it.needs
        inputs = [sum(it.output[p] for p in it.preds[t]) for t in range(self.count)]
        self.base = [it.run_bytes[t] - inputs[t] for t in range(self.count)]
        self.before, self.after = self._edges()
        self.readers = [sum(1 << s for s in after) for after in it.succs]
        self.kept_output = [it.output[t] if it.succs[t] else 0 for t in range(self.count)]
        self.inputs = [tuple(p for p in it.preds[t] if it.output[p]) for t in range(self.count)]
        self.users = [0] * len(it.model_ids)
        for task, models in enumerate(it.need_lists):
            for model in models:
                self.users[model] |= 1 << task
        self.used = sum(1 << m for m, users in enumerate(self.users) if users)
        self.high_load_peak = self._high_load_peak()  # a mask of models
        self.complete = self.high_load_peak.bit_count() <= MOST_EARLY_MODELS
        self._weights: dict[int, int] = {0: 0}
        self._reloads: dict[int, int] = {0: 0}
        self._drops: dict[int, int] = {0: 0}
        self._stays: dict[tuple[int, int], tuple[tuple[int, int], ...]] = {}
        self.done: dict[int, Done] = {}
        self.work, self.budget = 0, 1 << 60

    def spend(self, units: int) -> None:
        """Count work done. Raises `OutOfWork` past the budget."""
        self.work += units
        if self.work > self.budget:
            raise OutOfWork

    def _edges(self) -> tuple[list[int], list[tuple[int, ...]]]:
        it = self.instance
        before = [sum(1 << p for p in preds) for preds in it.preds]
        after = [list(succs) for succs in it.succs]
        for first, second in order_edges(it):
            before[second] |= 1 << first
            after[first].append(second)
        return before, [tuple(sorted(set(row))) for row in after]

    def _high_load_peak(self) -> int:
        """Models whose loading may be a higher moment than the run they are loaded for: it can pay to load them early."""
        it, mask = self.instance, 0
        for model, users in enumerate(self.users):
            excess = it.load_peak[model] - it.weights[model]
            if excess and users and excess > min(it.workspace[t] + it.output[t] for t in bits(users)):
                mask |= 1 << model
        return mask

    def start(self) -> int:
        """The empty done-set, entered in `done`."""
        ready = sum(1 << t for t in range(self.count) if not self.before[t])
        self.done[0] = Done(ready, 0, self.used, 0)
        return 0

    def weight(self, mask: int) -> int:
        """Bytes of a set of models."""
        found = self._weights.get(mask)
        if found is None:
            low = mask & -mask
            found = self._weights[mask] = self.weight(mask ^ low) + self.instance.weights[low.bit_length() - 1]
        return found

    def reload_units(self, mask: int) -> int:
        """Units to load a set of models once more."""
        found = self._reloads.get(mask)
        if found is None:
            low = mask & -mask
            found = self._reloads[mask] = self.reload_units(mask ^ low) + self.reload[low.bit_length() - 1]
        return found

    def drop(self, mask: int) -> int:
        """Units it may cost to be without a set of models that another state has; loads not used yet count in full."""
        if not self.high_load_peak:
            return self.reload_units(mask)
        found = self._drops.get(mask)
        if found is None:
            model = mask.bit_length() - 1
            found = self._drops[mask] = self.drop(mask ^ 1 << model) + max(self.reload[model], self.load[model])
        return found

    def load_units(self, mask: int) -> int:
        """Units to load a set of models for the first time."""
        return sum(self.load[m] for m in bits(mask))

    def load_peak(self, mask: int) -> int:
        """Peak bytes of loading a set of models in the best order."""
        return loading_peak(self.instance, bits(mask))

    def stays(self, others: int, spare: int) -> tuple[tuple[int, int], ...]:
        """The largest parts of `others` that fit into `spare` bytes, each with the units the rest costs to load again,
        cheapest first. No part is contained in another."""
        if self.weight(others) <= spare:
            return ((0, others),)
        key = (others, spare)
        found = self._stays.get(key)
        if found is None:
            parts = self._maximal(bits(others), spare)
            found = self._stays[key] = tuple(sorted((self.reload_units(others & ~part), part) for part in parts))
        return found

    def _maximal(self, models: list[int], spare: int) -> list[int]:
        weights = self.instance.weights
        fitting = [0]
        for model in models:
            self.spend(len(fitting))
            fitting += [part | 1 << model for part in fitting if self.weight(part) + weights[model] <= spare]
        return [
            part for part in fitting if all(part >> m & 1 or self.weight(part) + weights[m] > spare for m in models)
        ]

    def early(self, done: int, resident: int, task: int, spare: int) -> Iterator[tuple[int, int]]:
        """All (keep, new) for `task` that may load models before their time, or unload and load again, so that a high
        load peak passes while there is room."""
        need, room = self.needs[task], self.room - self.done[done].live
        later = sum(1 << m for m in bits(self.high_load_peak & ~need) if self.users[m] & ~done)
        for ahead in _parts(later, None if self.complete else 2):
            for reloaded in _parts(need & resident, None):
                held, new = need & resident & ~reloaded, (need & ~resident) | reloaded | ahead
                fits = min(spare - self.weight(ahead), room - self.load_peak(new) - self.weight(held))
                if fits >= 0:
                    for _, stay in self.stays(resident & ~need & ~ahead, fits):
                        yield stay | held, new
                if self.load_peak(new) <= self.weight(new) + self.base[task] - self.weight(need):
                    break  # the run is the higher moment: loading again what is there frees nothing

    def advance(self, done: int, task: int) -> int:
        """The done-set with `task` added, entered in `done`."""
        bit = 1 << task
        new = done | bit
        if new in self.done:
            return new
        old = self.done[done]
        ready = old.ready ^ bit
        for after in self.after[task]:
            if not self.before[after] & ~new:
                ready |= 1 << after
        needed = old.needed
        for model in self.instance.need_lists[task]:
            if not self.users[model] & ~new:
                needed &= ~(1 << model)
        self.done[new] = Done(ready, old.live + self.growth(new, task), needed, old.ever | self.needs[task])
        return new

    def growth(self, new: int, task: int) -> int:
        """Live bytes `task` adds (or frees, below 0) by ending with `new` done."""
        grown = self.kept_output[task]
        for before in self.inputs[task]:
            if not self.readers[before] & ~new:
                grown -= self.instance.output[before]
        return grown

    def settle(self, done: int, resident: int, ran: list[int] | None = None) -> int:
        """The done-set after every free move: a ready task whose models are resident, that fits and leaves no more
        live bytes. Running it now can only help: whatever comes later has as much room and one task less to do."""
        moved = True
        while moved:
            moved = False
            current = self.done[done]
            ready, spare = current.ready, self.room - current.live - self.weight(resident)
            while ready:
                bit = ready & -ready
                ready ^= bit
                task = bit.bit_length() - 1
                need = self.needs[task]
                if need & ~resident or self.base[task] - self.weight(need) > spare:
                    continue
                if self.growth(done | bit, task) > 0:
                    continue
                done = self.advance(done, task)
                if ran is not None:
                    ran.append(task)
                moved = True
                break
        return done


def _parts(mask: int, most: int | None) -> list[int]:
    """The subsets of `mask` with at most `most` members, the empty one first."""
    parts = [0]
    for model in bits(mask):
        parts += [part | 1 << model for part in parts if most is None or part.bit_count() < most]
    return parts
