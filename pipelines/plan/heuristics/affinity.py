"""Affinity list scheduling: run every ready group whose models are resident, then load the most promising model set.

Ready groups wait in one bucket per model set, oldest component first. Buckets whose models are resident are emptied; then
a `SchedulingPolicy` chooses a bucket, and its models replace those least worth keeping. The guard (`guard`) admits only
groups after which everything started can be finished.

    resident: separate   buckets: separate {s1 s2 s3}   transcribe {}          run s1 s2 s3
    resident: separate   buckets: separate {}           transcribe {t1 t2 t3}  load transcribe, run t1 t2 t3

The evictions here are a proxy: only the order of groups is returned, and `loading` decides anew what to unload for it.
O(groups log groups + switches x sets).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from pipelines.plan.heuristics.dead_ends import Components, Guard, own_needs
from pipelines.plan.heuristics.task_groups import TaskGroups

LOOKAHEAD = 4  # ready groups of a bucket looked at before it counts as blocked


@dataclass(frozen=True, slots=True)
class SchedulingPolicy:
    """How the next model set is chosen.

    closing: prefer sets that no group not yet ready will need again. oldest: prefer the oldest component to the most ready
    groups per load second. open_limit: components that may be started at a time.
    """

    closing: bool = True
    oldest: bool = False
    open_limit: int = 1 << 60


@dataclass(slots=True)
class _State:
    groups: TaskGroups
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


def schedule(groups: TaskGroups, parts: Components, policy: SchedulingPolicy) -> list[int]:
    """An order of all groups that fits, provided each component fits in its own order."""
    state = _start(groups, parts, policy)
    while len(state.order) < len(groups):
        if _run_resident(state):
            continue
        group = _choose_group(state)
        if group is None:
            group = state.guard.safe_group()
        _load_models(state, group)
        _run(state, group)
    return state.order


def _start(groups: TaskGroups, parts: Components, policy: SchedulingPolicy) -> _State:
    rank = [0] * len(groups)
    for number, group in enumerate(group for order in parts.orders for group in order):
        rank[group] = number
    waiting = [len(before) for before in groups.preds]
    state = _State(groups, Guard.of(groups, parts), policy, own_needs(groups), rank, waiting)
    state.uses_left = [0] * len(groups.instance.model_ids)
    for group, mask in enumerate(groups.masks):
        state.not_ready[mask] = state.not_ready.get(mask, 0) + 1
        for model in groups.lists[group]:
            state.uses_left[model] += 1
    for group, count in enumerate(waiting):
        if count == 0:
            _ready(state, group)
    return state


def _ready(state: _State, group: int) -> None:
    mask = state.groups.masks[group]
    heapq.heappush(state.buckets.setdefault(mask, []), (state.rank[group], group))
    state.not_ready[mask] -= 1


def _may_run(state: _State, group: int) -> bool:
    guard = state.guard
    part = guard.parts.of[group]
    if (
        len(guard.started) >= state.policy.open_limit
        and part not in guard.started
        and len(guard.parts.orders[part]) > 1
    ):
        return False
    return guard.allows(group, state.needs[group])


def _first_runnable(state: _State, mask: int) -> int | None:
    """The first group of the bucket that may run now, of the few oldest."""
    bucket = state.buckets[mask]
    if not bucket:
        return None
    if _may_run(state, bucket[0][1]):
        return bucket[0][1]
    return next((group for _, group in bucket[1:LOOKAHEAD] if _may_run(state, group)), None)


def _run_resident(state: _State) -> bool:
    """Run ready groups whose models are resident until none may; whether any ran."""
    ran = False
    again = True
    while again:
        again = False
        for mask in list(state.buckets):
            if mask & ~state.resident == 0:
                while (group := _first_runnable(state, mask)) is not None:
                    _run(state, group)
                    ran = again = True
                if not state.buckets[mask]:
                    del state.buckets[mask]
    return ran


def _choose_group(state: _State) -> int | None:
    best, best_score = None, None
    for mask in state.buckets:
        group = _first_runnable(state, mask)
        if group is not None:
            score = _score(state, mask, group)
            if best_score is None or score > best_score:
                best, best_score = group, score
    return best


def _score(state: _State, mask: int, group: int) -> tuple[float, float, float]:
    instance, policy = state.groups.instance, state.policy
    cost = sum(instance.reload_cost[model] for model in state.groups.lists[group] if not state.resident >> model & 1)
    ready, coming = len(state.buckets[mask]), state.not_ready[mask]
    closes = float(coming == 0) if policy.closing else 0.0
    if policy.oldest:
        return (closes, -float(state.rank[group]), 0.0)
    return (
        closes,
        ready / (ready + coming) / (cost + 1e-9) if policy.closing else ready / (cost + 1e-9),
        -float(state.rank[group]),
    )


def _load_models(state: _State, group: int) -> None:
    instance, mask = state.groups.instance, state.groups.masks[group]
    for model in state.groups.lists[group]:
        if not state.resident >> model & 1:
            state.resident |= 1 << model
            state.weight_bytes += instance.weights[model]
    room = state.groups.room - state.guard.live - state.groups.space[group]
    if state.weight_bytes > room:
        _evict(state, mask, room)


def _evict(state: _State, mask: int, room: int) -> None:
    """Unload what is least worth keeping until `room` suffices."""
    instance = state.groups.instance
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


def _run(state: _State, group: int) -> None:
    mask = state.groups.masks[group]
    bucket = state.buckets[mask]
    if bucket[0][1] == group:
        heapq.heappop(bucket)
    else:
        bucket.remove((state.rank[group], group))
        heapq.heapify(bucket)
    state.guard.run(group)
    state.order.append(group)
    for model in state.groups.lists[group]:
        state.uses_left[model] -= 1
    for after in state.groups.succs[group]:
        state.waiting[after] -= 1
        if state.waiting[after] == 0:
            _ready(state, after)
