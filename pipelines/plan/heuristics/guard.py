"""The guard against dead ends: admits only jobs after which everything started can still be finished (banker's algorithm).

Outputs that stay on the device pile up, and a greedy order can reach a point where every ready task is too big for what is
left. As models can always be unloaded, a task's own need is constant, and only kept outputs couple tasks. So:

- tasks fall into connected components, and a component leaves nothing behind. Each gets an order of its own with a low peak
  (`components`); one component after the other is then feasible if each one is.
- while components are interleaved, each has a cursor: the first task of its order not yet run. Finishing it from there
  needs at most `tail[cursor]` + the bytes of outputs made ahead of the order. It is the banker's question with one resource:
  the state is safe where the started components, cheapest to finish first, can be finished one by one, each giving its
  outputs back. `allows` asks this of the state after a task, in O(1) when room is ample and O(started) when it is not.

     room  ....................................
                  tail[cursor] of the highest_claim
           ####### live outputs of all started
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pipelines.plan.heuristics.jobs import Jobs
from pipelines.plan.heuristics.low_peak import low_peak_order, profile
from pipelines.plan.model.components import connected_components
from pipelines.plan.model.needs import loading_peak


@dataclass(frozen=True, slots=True)
class Components:
    """Connected components in order of first job.

    of: the component of each job. orders: each component's jobs in its own order. tails: for each position of that order
    the highest bytes from there on, the component's live outputs included.
    """

    of: tuple[int, ...]
    orders: tuple[tuple[int, ...], ...]
    tails: tuple[tuple[int, ...], ...]


def own_needs(jobs: Jobs) -> list[int]:
    """Bytes each job needs beyond kept outputs of others, at its worst moment: running, or loading its models."""
    instance = jobs.instance
    load: dict[int, int] = {}
    weight: dict[int, int] = {}
    for mask, models in zip(jobs.masks, jobs.lists, strict=True):
        if mask not in load:
            load[mask] = loading_peak(instance, models)
            weight[mask] = sum(instance.weights[model] for model in models)
    return [max(weight[mask] + space, load[mask]) for mask, space in zip(jobs.masks, jobs.space, strict=True)]


def components(jobs: Jobs, effort: int) -> Components:
    """Components with an order of low peak each; equal ones are worked out once. `effort`: states a hard one may cost."""
    needs = own_needs(jobs)
    of = [0] * len(jobs)
    orders, tails = [], []
    known: dict[tuple[object, ...], tuple[list[int], tuple[int, ...]]] = {}
    for number, inside in enumerate(connected_components(jobs.preds, jobs.succs)):
        local = {job: index for index, job in enumerate(inside)}
        before = tuple(tuple(local[pred] for pred in jobs.preds[job]) for job in inside)
        need, keep = tuple(needs[job] for job in inside), tuple(jobs.keep[job] for job in inside)
        key = (before, need, keep)
        if key not in known:
            order = low_peak_order(before, need, keep, jobs.room, effort)
            moments = profile(order, before, need, keep)
            for index in range(len(moments) - 2, -1, -1):
                moments[index] = max(moments[index], moments[index + 1])
            known[key] = (order, tuple(moments))
        order, tail = known[key]
        orders.append(tuple(inside[index] for index in order))
        tails.append(tail)
        for job in inside:
            of[job] = number
    return Components(tuple(of), tuple(orders), tuple(tails))


@dataclass(slots=True)
class Guard:
    """The outputs on the device while an order of jobs is being built.

    live: bytes of kept outputs. waiting: by job, successors that have not run. By component: `cursor`, the position in its
    own order up to which all jobs ran; `ahead`, bytes of outputs made beyond it; `live_of`, its live bytes. started: for
    each component begun and not finished, the most bytes that finishing it takes beyond its live ones (its claim).
    """

    jobs: Jobs
    parts: Components
    live: int = 0
    waiting: list[int] = field(default_factory=list)
    done: list[bool] = field(default_factory=list)
    cursor: list[int] = field(default_factory=list)
    ahead: list[int] = field(default_factory=list)
    live_of: list[int] = field(default_factory=list)
    started: dict[int, int] = field(default_factory=dict)
    highest_claim: int = 0

    @staticmethod
    def of(jobs: Jobs, parts: Components) -> Guard:
        """Nothing run yet."""
        count = len(parts.orders)
        waiting = [len(after) for after in jobs.succs]
        return Guard(jobs, parts, 0, waiting, [False] * len(jobs), [0] * count, [0] * count, [0] * count)

    def freed(self, job: int) -> int:
        """Bytes of outputs that end with `job`."""
        return sum(self.jobs.keep[pred] for pred in self.jobs.preds[job] if self.waiting[pred] == 1)

    def allows(self, job: int, need: int) -> bool:
        """Whether `job`, needing `need` bytes beyond live outputs, fits now and leaves a state that can be finished."""
        room = self.jobs.room
        if self.live + need > room:
            return False
        part = self.parts.of[job]
        gain = self.jobs.keep[job] - self.freed(job)
        extra = self._extra_after(job, part, gain)
        if self.live + gain + max(self.highest_claim, extra) <= room:
            return True
        return self._bankers(part, gain, extra)

    def _extra_after(self, job: int, part: int, gain: int) -> int:
        """Upper bound of what finishing the component takes beyond its own live outputs, once `job` has run."""
        order, cursor, ahead = self.parts.orders[part], self.cursor[part], self.ahead[part]
        if order[cursor] == job:
            cursor += 1
            while cursor < len(order) and self.done[order[cursor]]:
                ahead -= self.jobs.keep[order[cursor]]
                cursor += 1
        else:
            ahead += self.jobs.keep[job]
        if cursor == len(order):
            return 0
        return self.parts.tails[part][cursor] + ahead - (self.live_of[part] + gain)

    def _bankers(self, part: int, gain: int, extra: int) -> bool:
        """Whether the started components can be finished one by one, smallest claim first, each freeing its outputs."""
        live = self.live + gain
        claims = [(other, self.live_of[number]) for number, other in self.started.items() if number != part]
        claims.append((extra, self.live_of[part] + gain))
        claims.sort()
        for claim, held in claims:
            if live + claim > self.jobs.room:
                return False
            live -= held
        return True

    def run(self, job: int) -> None:
        """Take note that `job` has run."""
        part = self.parts.of[job]
        gain = self.jobs.keep[job] - self.freed(job)
        extra = self._extra_after(job, part, gain)
        self._advance(job, part)
        for pred in self.jobs.preds[job]:
            self.waiting[pred] -= 1
        self.live += gain
        self.live_of[part] += gain
        if self.cursor[part] == len(self.parts.orders[part]):
            self.started.pop(part, None)
        else:
            self.started[part] = extra
            self.highest_claim = max(self.highest_claim, extra)

    def _advance(self, job: int, part: int) -> None:
        order = self.parts.orders[part]
        self.done[job] = True
        if order[self.cursor[part]] != job:
            self.ahead[part] += self.jobs.keep[job]
            return
        self.cursor[part] += 1
        while self.cursor[part] < len(order) and self.done[order[self.cursor[part]]]:
            self.ahead[part] -= self.jobs.keep[order[self.cursor[part]]]
            self.cursor[part] += 1

    def safe_job(self) -> int:
        """The job to run when nothing else may: the next one of the component cheapest to finish. Always fits."""
        if not self.started:
            return next(order[0] for number, order in enumerate(self.parts.orders) if self.cursor[number] == 0)
        part = min(self.started, key=lambda number: (self.started[number], number))
        return self.parts.orders[part][self.cursor[part]]


def feasible(parts: Components, room: int) -> bool:
    """Whether each component fits in its own order. False proves nothing."""
    return all(not tail or tail[0] <= room for tail in parts.tails)
