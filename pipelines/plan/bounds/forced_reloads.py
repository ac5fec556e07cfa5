"""Load seconds that no plan of a large problem can go below. Each bound is a relaxation; `loads` takes the highest.

- `residencies`: while a model stays resident, tasks that cannot run beside it do not run. What they hand to its tasks, or
  take from them, is therefore live when it comes or when it goes, and must fit beside it: so many bytes, so many loads.
- `detours`: let every model of a set be loaded once. If some task of a comes before some task of b and cannot run
  beside b, then b comes after a came. A circle of such pairs is a contradiction, so of each circle one model is loaded
  again; the cheapest choice that meets every circle bounds the reloads (a feedback vertex set, solved by branching).
  The same holds, mirrored, for when models go.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.plan.bounds import compulsory
from pipelines.plan.heuristics.jobs import UNLIMITED
from pipelines.plan.model.bits import bits
from pipelines.plan.model.instance import Instance

Circle = tuple[int, ...]
BRANCHES = 3_000


def loads(instance: Instance) -> float:
    """The highest of the bounds."""
    return max(compulsory.loads(instance), residencies(instance), detours(instance))


def residencies(instance: Instance) -> float:
    """Loads forced by outputs that cross into or out of a model's tasks. O(edges)."""
    total = compulsory.loads(instance)
    if instance.room is None:
        return total
    inward, outward = _crossing(instance)
    for model in range(len(instance.model_ids)):
        room = instance.room - instance.weights[model]
        crossing = max(inward[model], outward[model])
        if room > 0 and crossing > room:
            total += (-(-crossing // room) - 1) * instance.reload_cost[model]
    return total


def _crossing(instance: Instance) -> tuple[list[int], list[int]]:
    """For each model, bytes that must be live when it comes, and when it goes, over all its residencies."""
    inward, outward = [0] * len(instance.model_ids), [0] * len(instance.model_ids)
    for task, kept in enumerate(instance.output):
        if not kept or not instance.succs[task]:
            continue
        taken = 0
        for after in instance.succs[task]:
            taken |= instance.needs[after]
        for model in bits(taken & ~instance.needs[task]):
            if _apart(instance, task, model):
                inward[model] += kept
        for model in instance.need_lists[task]:
            users = (after for after in instance.succs[task] if not instance.needs[after] >> model & 1)
            if any(_apart(instance, after, model) for after in users):
                outward[model] += kept
    return inward, outward


def _apart(instance: Instance, task: int, model: int) -> bool:
    """Whether `task` cannot run while `model`, which it does not need, is resident."""
    room = UNLIMITED if instance.room is None else instance.room
    return instance.run_bytes[task] + instance.weights[model] > room


def detours(instance: Instance) -> float:
    """First loads, plus the cheapest set of models that meets every circle of conflicting orders."""
    graphs = (_after_edges(instance, forward=True), _after_edges(instance, forward=False))
    return compulsory.loads(instance) + _cheapest_cut(graphs, instance.reload_cost)


def _after_edges(instance: Instance, *, forward: bool) -> list[int]:
    """For each model, the bit mask of models that come after it came (or, backwards, that went before it went)."""
    edges = [0] * len(instance.model_ids)
    order = instance.topological
    later = [0] * len(instance.task_ids)
    following, sequence = (instance.succs, reversed(order)) if forward else (instance.preds, iter(order))
    room = UNLIMITED if instance.room is None else instance.room
    for task in sequence:
        for after in following[task]:
            later[task] |= later[after] | instance.needs[after]
        left = room - instance.run_bytes[task]
        apart = sum(1 << m for m in bits(later[task] & ~instance.needs[task]) if instance.weights[m] > left)
        for model in instance.need_lists[task]:
            edges[model] |= apart
    return edges


def _cheapest_cut(graphs: Sequence[list[int]], weights: Sequence[float]) -> float:
    """Least weight of vertices without which no graph has a circle; within `BRANCHES`, else a bound from packed circles."""
    full = (1 << len(weights)) - 1
    packed = _packing(graphs, weights, full)
    left = [BRANCHES]
    best = _branch(graphs, weights, full, sum(weights) + 1.0, left)
    return best if left[0] > 0 else packed


def _branch(graphs: Sequence[list[int]], weights: Sequence[float], alive: int, cap: float, left: list[int]) -> float:
    """Least weight to remove from `alive`, or `cap` where it is no less."""
    left[0] -= 1
    circle = _circle(graphs, alive)
    if circle is None:
        return 0.0
    if left[0] <= 0 or _packing(graphs, weights, alive) >= cap:
        return cap
    for model in sorted(circle, key=lambda m: (weights[m], m)):
        cap = min(cap, weights[model] + _branch(graphs, weights, alive & ~(1 << model), cap - weights[model], left))
    return cap


def _packing(graphs: Sequence[list[int]], weights: Sequence[float], alive: int) -> float:
    """A bound on the cut: circles each paid for out of what is left of their members' weights."""
    rest, total = list(weights), 0.0
    while (circle := _circle(graphs, alive)) is not None:
        pay = min(rest[model] for model in circle)
        total += pay
        for model in circle:
            rest[model] -= pay
            if rest[model] <= 1e-12:
                alive &= ~(1 << model)
    return total


def _circle(graphs: Sequence[list[int]], alive: int) -> Circle | None:
    """A shortest circle among `alive`, of either graph."""
    shortest: Circle | None = None
    for edges in graphs:
        for start in bits(alive):
            found = _back_to(edges, alive, start, 1 << 30 if shortest is None else len(shortest))
            if found is not None:
                shortest = found
                if len(shortest) == 2:
                    return shortest
    return shortest


def _back_to(edges: list[int], alive: int, start: int, under: int) -> Circle | None:
    """The shortest way from `start` back to it, of fewer than `under` steps."""
    seen = 0
    layer: list[Circle] = [(start,)]
    while layer and len(layer[0]) < under:
        following: list[Circle] = []
        for path in layer:
            if edges[path[-1]] >> start & 1:
                return path
            for model in bits(edges[path[-1]] & alive & ~seen):
                seen |= 1 << model
                following.append((*path, model))
        layer = following
    return None
