"""Model-affinity list scheduling: run all ready work of the resident models, then make the cheapest change.

The first guess, and often already the optimum. It looks one task ahead and may run into a dead end where outputs stay
on the device; the searches that cannot are elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable

from pipelines.plan.assemble import Move
from pipelines.plan.instance import Instance
from pipelines.plan.state import State


def greedy(instance: Instance) -> list[Move] | None:
    """Moves of the better of two rules, loading least first or holding least output; None where both dead-end."""
    found = [moves for rule in (_least_loading, _least_output) if (moves := _drain(instance, rule)) is not None]
    return min(found, key=lambda made: made[0])[1] if found else None


Rule = Callable[[State, int, int, int], tuple[float, ...]]


def _least_loading(state: State, task: int, keep: int, count: int) -> tuple[float, ...]:
    return (_change(state, task, keep) / count, state.growth(task))


def _least_output(state: State, task: int, keep: int, count: int) -> tuple[float, ...]:
    return (state.growth(task), _change(state, task, keep))


def _change(state: State, task: int, keep: int) -> float:
    """Seconds to load now, and later for what is evicted and still needed."""
    it = state.instance
    gone = state.resident & ~keep & ~it.needs[task]
    back = sum(it.reload_cost[m] for m in range(gone.bit_length()) if gone >> m & 1 and state.uses[m])
    return state.cost(it.needs[task] & ~keep) + back


def _drain(instance: Instance, rule: Rule) -> tuple[float, list[Move]] | None:
    """Buckets of ready tasks by model set; the newest of each bucket stands for it. O(tasks x distinct sets)."""
    state, total = State(instance), 0.0
    buckets: dict[int, list[int]] = {}
    for task, before in enumerate(instance.preds):
        if not before:
            buckets.setdefault(instance.needs[task], []).append(task)
    while buckets:
        best = _best(state, buckets, rule)
        if best is None:
            return None
        task, keep = best
        bucket = buckets[instance.needs[task]]
        bucket.remove(task)
        if not bucket:
            del buckets[instance.needs[task]]
        total += state.cost(instance.needs[task] & ~keep)
        for after in state.run(task, keep):
            buckets.setdefault(instance.needs[after], []).append(after)
    return total, state.moves


def _best(state: State, buckets: dict[int, list[int]], rule: Rule) -> tuple[int, int] | None:
    """The task to run next and what to keep, among the few newest ready tasks of each bucket."""
    choices = []
    for bucket in buckets.values():
        for task in reversed(bucket[-4:] + bucket[:-4] if len(bucket) <= 64 else bucket[-8:]):
            keep = state.keep(task)
            if keep is not None:
                choices.append((rule(state, task, keep, len(bucket)), -task, task, keep))
    if not choices:
        return None
    return min(choices)[2:]
