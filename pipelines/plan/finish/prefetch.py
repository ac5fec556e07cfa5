"""Moves loads into the load lane's free time, beside earlier runs. Adds no load and never passes the limit.

One walk from the first run to the last. By the time a slot is reached everything before it is timed, so each of its
loads can be placed at once: beside the latest earlier run from which it ends in time, or, where none is early enough,
beside the earliest there is room for. The load lane keeps its order, so no load starts later than it did and the
makespan can only shrink.

    compute |   separate   |--wait--|  transcribe        compute |   separate   |  transcribe
    load    |              | whisper|              ->    load    |     | whisper|
"""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.plan.model.instance import Instance
from pipelines.plan.model.slots import Slot, measure

#: How many runs ahead a load may start. Keeps the pass linear; longer waits hide nothing worth the bytes.
AHEAD = 64


def prefetch(instance: Instance, slots: Sequence[Slot]) -> None:
    """Turn plain loads of `slots` into prefetches of earlier slots wherever they then end earlier."""
    _Pass(instance, slots).run()


class _Pass:
    def __init__(self, instance: Instance, slots: Sequence[Slot]) -> None:
        self.it, self.slots = instance, slots
        sizes = measure(instance, slots)
        self.before, self.running = sizes.before, sizes.running
        self.extra = [0] * len(slots)
        self.arriving = [0] * len(slots)
        self.starts: list[float] = []
        self.ends: list[float] = []
        self.lane_free = 0.0
        self.ready: dict[int, float] = {}
        self.loaded: set[int] = set()
        self.unloaded_before = [0] * len(instance.model_ids)
        self.oldest = 0

    def run(self) -> None:
        for index, slot in enumerate(self.slots):
            ended = self.ends[-1] if self.ends else 0.0
            unplaced: list[int] = list(slot.loads)
            plain: list[int] = []
            for model in slot.loads:
                unplaced.remove(model)
                if not self._try_prefetch(index, model, [*plain, *unplaced]):
                    plain.append(model)
            for model in plain:
                self.lane_free = self.ready[model] = max(self.lane_free, ended) + self._cost(model)
                self.oldest = index
            slot.loads = plain
            used = (self.ready[m] for task in slot.tasks for m in self.it.need_lists[task])
            self.starts.append(max(ended, self.lane_free if plain else 0.0, max(used, default=0.0)))
            self.ends.append(self.starts[-1] + max(self.it.seconds[task] for task in slot.tasks))
            for model in slot.unloads:
                self.unloaded_before[model] = index + 1

    def _cost(self, model: int) -> float:
        """Seconds of the load that is being placed."""
        seconds = self.it.reload_cost[model] if model in self.loaded else self.it.load_cost[model]
        self.loaded.add(model)
        return seconds

    def _try_prefetch(self, index: int, model: int, others: list[int]) -> bool:
        """Load `model` of slot `index` beside an earlier run, if there is one with room."""
        use = self._first_use(index, model)
        if not self._others_fit(index, model, others) or not self._load_peak_fits_until(index, use, model):
            return False
        seconds = (self.it.reload_cost if model in self.loaded else self.it.load_cost)[model]
        place = None
        for slot in range(index - 1, max(self.oldest, self.unloaded_before[model], index - AHEAD) - 1, -1):
            if not self._room_beside(slot, model):
                break
            if not self._run_stays_highest(slot, model):
                continue
            place = slot
            if self.starts[slot] <= self.lane_free or self.starts[slot] + seconds <= self.ends[index - 1]:
                break
        if place is None:
            return False
        self._reserve(place, index, use, model)
        self.lane_free = self.ready[model] = max(self.lane_free, self.starts[place]) + self._cost(model)
        self.oldest = place
        return True

    def _room_beside(self, slot: int, model: int) -> bool:
        room, weights = self.it.room, self.it.weights[model]
        extra = max(self.extra[slot], self.it.load_peak[model] - weights)
        return room is None or self.running[slot] + weights + extra <= room

    def _run_stays_highest(self, slot: int, model: int) -> bool:
        """Whether the run stays the highest moment: a model that arrives for it counts its load peak up to its start,
        and the prefetch stands before that."""
        working = sum(self.it.workspace[t] + self.it.output[t] for t in self.slots[slot].tasks)
        extra = max(self.extra[slot], self.it.load_peak[model] - self.it.weights[model])
        return bool(self.slots[slot].loads) or self.arriving[slot] <= working + extra

    def _others_fit(self, index: int, model: int, others: list[int]) -> bool:
        """Whether the slot's other loads still fit, now that `model` is there before them."""
        if self.it.room is None or not others:
            return True
        peak = resident = self.before[index] + self.it.weights[model]
        for other in others:
            peak = max(peak, resident + self.it.load_peak[other])
            resident += self.it.weights[other]
        return peak <= self.it.room

    def _first_use(self, index: int, model: int) -> int:
        """The slot whose run first uses the model loaded for slot `index`: later where it was loaded early on purpose."""
        bit = 1 << model
        while not any(self.it.needs[task] & bit for task in self.slots[index].tasks):
            index += 1
        return index

    def _load_peak_fits_until(self, index: int, use: int, model: int) -> bool:
        """Whether the load peak of a prefetch fits every run from `index` up to its first use, where it still counts."""
        above = self.it.load_peak[model] - self.it.weights[model]
        return self.it.room is None or all(
            self.running[slot] + max(self.extra[slot], above) <= self.it.room for slot in range(index, use)
        )

    def _reserve(self, place: int, index: int, use: int, model: int) -> None:
        """Count the bytes of `model` from the run of `place` on."""
        weights, extra = self.it.weights[model], self.it.load_peak[model] - self.it.weights[model]
        self.arriving[use] = max(self.arriving[use], extra)
        for slot in range(place, use):
            self.extra[slot] = max(self.extra[slot], extra)
        for slot in range(place, index):
            self.running[slot] += weights
            self.before[slot + 1] += weights
        self.slots[place].prefetches.append(model)
