"""The orders everybody tries first, as candidates: with them in the portfolio no plan is worse than they are.

First in first out, one component after the other, stage by stage over some components at a time, and a greedy that stays
with the models that are there. The first three do not look at bytes and may not fit; the greedy runs only what fits now,
and gives up in a dead end. Each is O(jobs x log + edges), the greedy times the model sets.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from random import Random

from pipelines.plan.heuristics.guard import Components, own_needs
from pipelines.plan.heuristics.jobs import Jobs
from pipelines.plan.model.instance import Instance

WIDTHS = (4, 16, 64)  # components side by side
EXPLORATION = 0.05  # how often the randomised greedy goes to any set


def simple(jobs: Jobs, parts: Components) -> Iterator[list[int]]:
    """First in first out, depth first, and waves of some and of all components."""
    yield first_in_first_out(jobs)
    yield depth_first(jobs)
    for width in (*(w for w in WIDTHS if w < len(parts.orders)), len(parts.orders)):
        yield stage_by_stage(jobs, parts, width)


def first_in_first_out(jobs: Jobs | Instance) -> list[int]:
    """Every job (or task) as soon as it is ready, lowest number first."""
    waiting = [len(before) for before in jobs.preds]
    ready = [job for job, count in enumerate(waiting) if count == 0]
    order = []
    while ready:
        job = heapq.heappop(ready)
        order.append(job)
        for after in _released(jobs, job, waiting):
            heapq.heappush(ready, after)
    return order


def depth_first(jobs: Jobs) -> list[int]:
    """Always on with what became ready last."""
    waiting = [len(before) for before in jobs.preds]
    stack = [job for job, count in enumerate(waiting) if count == 0][::-1]
    order = []
    while stack:
        order.append(stack.pop())
        stack += reversed(_released(jobs, order[-1], waiting))
    return order


def stage_by_stage(jobs: Jobs, parts: Components, width: int) -> list[int]:
    """`width` components at a time, generation after generation, equal model sets together."""
    stage = [0] * len(jobs)
    for order in parts.orders:
        for job in order:
            stage[job] = max((stage[pred] + 1 for pred in jobs.preds[job]), default=0)
    made: list[int] = []
    for start in range(0, len(parts.orders), width):
        batch = [job for order in parts.orders[start : start + width] for job in order]
        made += sorted(batch, key=lambda job: (stage[job], jobs.masks[job], job))
    return made


def greedy(jobs: Jobs, draw: Random | None = None) -> list[int] | None:
    """Stay with a model set while jobs ready for it fit, then go to the one cheapest to reach; None in a dead end.

    Without `draw` the oldest job of a set comes first; with it any of the oldest few, and now and then a set drawn at random.
    """
    state = _Greedy(jobs, draw)
    while len(state.order) < len(jobs):
        job = state.choose()
        if job is None:
            return None
        state.run(job)
    return state.order


class _Greedy:
    def __init__(self, jobs: Jobs, draw: Random | None) -> None:
        self.jobs, self.draw = jobs, draw
        self.needs = own_needs(jobs)
        self.waiting = [len(before) for before in jobs.preds]
        self.uses = [len(after) for after in jobs.succs]
        self.ready: dict[int, list[int]] = {}
        self.order: list[int] = []
        self.live = self.current = 0
        for job, count in enumerate(self.waiting):
            if count == 0:
                self.ready.setdefault(jobs.masks[job], []).append(job)

    def choose(self) -> int | None:
        """The next job: of this set, or of the cheapest to reach that has one that fits."""
        job = self._candidate(self.current)
        if job is not None and not (self.draw and self.draw.random() < EXPLORATION):
            return job
        costs = [(self._load_seconds_to(mask), mask) for mask in self.ready]
        if self.draw is not None and self.draw.random() < EXPLORATION:
            self.draw.shuffle(costs)
        else:
            costs.sort()
        return next((job for _, mask in costs if (job := self._candidate(mask)) is not None), None)

    def _load_seconds_to(self, mask: int) -> float:
        instance, missing = self.jobs.instance, mask & ~self.current
        return sum(instance.reload_cost[m] for m in range(missing.bit_length()) if missing >> m & 1)

    def _candidate(self, mask: int) -> int | None:
        """A ready job of `mask` that fits: one that leaves least behind, of the oldest few."""
        room = self.jobs.room - self.live
        fitting = [job for job in self.ready.get(mask, ())[:8] if self.needs[job] <= room]
        if self.draw is not None and len(fitting) > 1 and self.draw.random() < 0.5:
            return fitting[int(self.draw.random() * len(fitting))]
        return min(fitting, key=self._gain, default=None)

    def _gain(self, job: int) -> int:
        jobs = self.jobs
        return jobs.keep[job] - sum(jobs.keep[pred] for pred in jobs.preds[job] if self.uses[pred] == 1)

    def run(self, job: int) -> None:
        jobs = self.jobs
        mask = self.current = jobs.masks[job]
        self.live += self._gain(job)
        self.ready[mask].remove(job)
        if not self.ready[mask]:
            del self.ready[mask]
        for pred in jobs.preds[job]:
            self.uses[pred] -= 1
        for after in _released(jobs, job, self.waiting):
            self.ready.setdefault(jobs.masks[after], []).append(after)
        self.order.append(job)


def _released(jobs: Jobs | Instance, job: int, waiting: list[int]) -> list[int]:
    freed = []
    for after in jobs.succs[job]:
        waiting[after] -= 1
        if waiting[after] == 0:
            freed.append(after)
    return freed
