"""Affinity list scheduling: run every ready job whose models are resident, then load the most promising model set.

Ready jobs wait in one bucket per model set, oldest component first. Buckets whose models are resident are emptied; then
a `SchedulingPolicy` chooses a bucket, and its models replace those least worth keeping. The guard (`guard`) admits only
jobs after which everything started can be finished.

    resident: separate   buckets: separate {s1 s2 s3}   transcribe {}          run s1 s2 s3
    resident: separate   buckets: separate {}           transcribe {t1 t2 t3}  load transcribe, run t1 t2 t3

The evictions here are a proxy: only the order of jobs is returned, and `loading` decides anew what to unload for it.
O(jobs log jobs + switches x sets).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from pipelines.plan.heuristics.guard import Components, Guard, own_needs
from pipelines.plan.heuristics.jobs import Jobs

LOOKAHEAD = 4  # ready jobs of a bucket looked at before it counts as blocked


@dataclass(frozen=True, slots=True)
class SchedulingPolicy:
    """How the next model set is chosen.

    closing: prefer sets that no job not yet ready will need again. oldest: prefer the oldest component to the most ready
    jobs per load second. open_limit: components that may be started at a time.
    """

    closing: bool = True
    oldest: bool = False
    open_limit: int = 1 << 60


@dataclass(slots=True)
class _State:
    jobs: Jobs
    guard: Guard
    policy: SchedulingPolicy
    needs: list[int]
    rank: list[int]
    waiting: list[int]
    buckets: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    not_ready: dict[int, int] = field(default_factory=dict)
    uses_left: list[int] = field(default_factory=list)
    resident: int = 0
    weight_bytes: int = 0
    order: list[int] = field(default_factory=list)


def schedule(jobs: Jobs, parts: Components, policy: SchedulingPolicy) -> list[int]:
    """An order of all jobs that fits, provided each component fits in its own order."""
    state = _start(jobs, parts, policy)
    while len(state.order) < len(jobs):
        if _run_resident(state):
            continue
        job = _choose_job(state)
        if job is None:
            job = state.guard.safe_job()
        _load_models(state, job)
        _run(state, job)
    return state.order


def _start(jobs: Jobs, parts: Components, policy: SchedulingPolicy) -> _State:
    rank = [0] * len(jobs)
    for number, job in enumerate(job for order in parts.orders for job in order):
        rank[job] = number
    waiting = [len(before) for before in jobs.preds]
    state = _State(jobs, Guard.of(jobs, parts), policy, own_needs(jobs), rank, waiting)
    state.uses_left = [0] * len(jobs.instance.model_ids)
    for job, mask in enumerate(jobs.masks):
        state.not_ready[mask] = state.not_ready.get(mask, 0) + 1
        for model in jobs.lists[job]:
            state.uses_left[model] += 1
    for job, count in enumerate(waiting):
        if count == 0:
            _ready(state, job)
    return state


def _ready(state: _State, job: int) -> None:
    mask = state.jobs.masks[job]
    heapq.heappush(state.buckets.setdefault(mask, []), (state.rank[job], job))
    state.not_ready[mask] -= 1


def _may_run(state: _State, job: int) -> bool:
    guard = state.guard
    part = guard.parts.of[job]
    if (
        len(guard.started) >= state.policy.open_limit
        and part not in guard.started
        and len(guard.parts.orders[part]) > 1
    ):
        return False
    return guard.allows(job, state.needs[job])


def _first_runnable(state: _State, mask: int) -> int | None:
    """The first job of the bucket that may run now, of the few oldest."""
    bucket = state.buckets[mask]
    if not bucket:
        return None
    if _may_run(state, bucket[0][1]):
        return bucket[0][1]
    return next((job for _, job in bucket[1:LOOKAHEAD] if _may_run(state, job)), None)


def _run_resident(state: _State) -> bool:
    """Run ready jobs whose models are resident until none may; whether any ran."""
    ran = False
    again = True
    while again:
        again = False
        for mask in list(state.buckets):
            if mask & ~state.resident == 0:
                while (job := _first_runnable(state, mask)) is not None:
                    _run(state, job)
                    ran = again = True
                if not state.buckets[mask]:
                    del state.buckets[mask]
    return ran


def _choose_job(state: _State) -> int | None:
    best, best_score = None, None
    for mask in state.buckets:
        job = _first_runnable(state, mask)
        if job is not None:
            score = _score(state, mask, job)
            if best_score is None or score > best_score:
                best, best_score = job, score
    return best


def _score(state: _State, mask: int, job: int) -> tuple[float, float, float]:
    instance, policy = state.jobs.instance, state.policy
    cost = sum(instance.reload_cost[model] for model in state.jobs.lists[job] if not state.resident >> model & 1)
    ready, coming = len(state.buckets[mask]), state.not_ready[mask]
    closes = float(coming == 0) if policy.closing else 0.0
    if policy.oldest:
        return (closes, -float(state.rank[job]), 0.0)
    return (
        closes,
        ready / (ready + coming) / (cost + 1e-9) if policy.closing else ready / (cost + 1e-9),
        -float(state.rank[job]),
    )


def _load_models(state: _State, job: int) -> None:
    instance, mask = state.jobs.instance, state.jobs.masks[job]
    for model in state.jobs.lists[job]:
        if not state.resident >> model & 1:
            state.resident |= 1 << model
            state.weight_bytes += instance.weights[model]
    room = state.jobs.room - state.guard.live - state.jobs.space[job]
    if state.weight_bytes > room:
        _evict(state, mask, room)


def _evict(state: _State, mask: int, room: int) -> None:
    """Unload what is least worth keeping until `room` suffices."""
    instance = state.jobs.instance
    wanted = 0
    for other, bucket in state.buckets.items():
        if bucket:
            wanted |= other
    idle = [model for model in range(len(instance.model_ids)) if state.resident >> model & 1 and not mask >> model & 1]
    idle.sort(
        key=lambda m: (
            state.uses_left[m] > 0,
            wanted >> m & 1,
            instance.reload_cost[m] / max(1, instance.weights[m]),
            m,
        )
    )
    for model in idle:
        if state.weight_bytes <= room:
            break
        state.resident &= ~(1 << model)
        state.weight_bytes -= instance.weights[model]


def _run(state: _State, job: int) -> None:
    mask = state.jobs.masks[job]
    bucket = state.buckets[mask]
    if bucket[0][1] == job:
        heapq.heappop(bucket)
    else:
        bucket.remove((state.rank[job], job))
        heapq.heapify(bucket)
    state.guard.run(job)
    state.order.append(job)
    for model in state.jobs.lists[job]:
        state.uses_left[model] -= 1
    for after in state.jobs.succs[job]:
        state.waiting[after] -= 1
        if state.waiting[after] == 0:
            _ready(state, after)
