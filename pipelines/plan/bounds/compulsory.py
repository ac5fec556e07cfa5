"""Lower bounds that hold for every plan of a problem, without search."""

from __future__ import annotations

from pipelines.plan.model.instance import Instance


def used_models(instance: Instance) -> int:
    """Bit mask of the models some task needs."""
    mask = 0
    for need in instance.needs:
        mask |= need
    return mask


def cost_of(costs: tuple[float, ...], mask: int) -> float:
    """Sum of `costs` over the bits of `mask`, lowest first."""
    total = 0.0
    while mask:
        low = mask & -mask
        total += costs[low.bit_length() - 1]
        mask ^= low
    return total


def cost(instance: Instance) -> float:
    """Seconds of the objective's first quantity that no plan can avoid."""
    return loads(instance) if instance.problem.objective == "load" else makespan(instance)


def loads(instance: Instance) -> float:
    """Load seconds of loading every used model once."""
    return cost_of(instance.load_cost, used_models(instance))


def makespan(instance: Instance) -> float:
    """The highest of three floors of the makespan.

    Work: the shortest first loading, then all seconds shared among the streams. Lane: every model's first load one
    after another, then the shortest way to the end from a task that uses a model. Path: along each chain of tasks,
    where a task cannot start before its own and its ancestors' models are loaded.
    """
    if not instance.task_ids:
        return 0.0
    sources = [t for t, before in enumerate(instance.preds) if not before]
    first = min(cost_of(instance.load_cost, instance.needs[t]) for t in sources)
    work = first + sum(instance.seconds) / instance.problem.streams
    tail = _tails(instance)
    closing = min((tail[t] for t, need in enumerate(instance.needs) if need), default=0.0)
    lane = cost_of(instance.load_cost, used_models(instance)) + closing
    start = _earliest_starts(instance)
    path = max(begin + rest for begin, rest in zip(start, tail, strict=True))
    return max(work, lane, path)


def _tails(instance: Instance) -> list[float]:
    """Seconds from each task's start to the end of the longest chain of successors."""
    tail = list(instance.seconds)
    for task in reversed(instance.topological):
        tail[task] += max((tail[after] for after in instance.succs[task]), default=0.0)
    return tail


def _earliest_starts(instance: Instance) -> list[float]:
    """When each task could start at best."""
    start = [0.0] * len(instance.task_ids)
    needed = list(instance.needs)
    known: dict[int, float] = {}
    for task in instance.topological:
        for before in instance.preds[task]:
            needed[task] |= needed[before]
        mask = needed[task]
        if mask not in known:
            known[mask] = cost_of(instance.load_cost, mask)
        ended = max((start[p] + instance.seconds[p] for p in instance.preds[task]), default=0.0)
        start[task] = max(ended, known[mask])
    return start
