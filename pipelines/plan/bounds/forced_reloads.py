"""Load seconds that no plan can go below, first loads and forced reloads. `loads` takes the higher bound.

Used at any size, where there is a limit and the first guess does not meet the bound of first loads alone.

- `residency_bound`: while a model stays resident, tasks that do not fit beside it cannot run. What such tasks hand to the
  model's own tasks is therefore live when the model is loaded, and what they take from its tasks is live when it is
  unloaded; both must fit beside its weights. So many bytes need so many loads.

      room beside m: 10       m's tasks take 25 bytes from tasks that cannot run beside m
      load m with 10 live, unload, load with 10 live, unload, load with 5 live:  at least ceil(25 / 10) = 3 loads

- `feedback_bound`: suppose that each model of a set is loaded once. If some task of model a comes before some task of b and
  does not fit beside b, then b is loaded after a was. A cycle of such pairs is a contradiction, so of every cycle one model
  is loaded again. The cheapest set of models that meets every cycle bounds the reloads: a minimum-weight feedback vertex
  set, found by branching. The same holds, mirrored, for the order of unloading.

      item 1: a -> b        a before b before a: a cycle, so a or b is loaded twice,
      item 2: b -> a        which costs at least min(reload a, reload b)
"""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.plan.bounds import compulsory
from pipelines.plan.heuristics.task_groups import UNLIMITED
from pipelines.plan.model.bits import bits
from pipelines.plan.model.instance import Instance

#: The models of a cycle in a graph of models.
Cycle = tuple[int, ...]
#: Nodes of the branching for the feedback vertex set.
BRANCHES = 3_000


def loads(instance: Instance) -> float:
    """The highest of the bounds, in load seconds."""
    return max(compulsory.loads(instance), residency_bound(instance), feedback_bound(instance))


def residency_bound(instance: Instance) -> float:
    """Load seconds forced by outputs that are live when models are loaded or unloaded. O(edges)."""
    total = compulsory.loads(instance)
    if instance.room is None:
        return total
    at_load, at_unload = _live_bytes_by_model(instance)
    for model in range(len(instance.model_ids)):
        beside = instance.room - instance.weights[model]
        live = max(at_load[model], at_unload[model])
        if beside > 0 and live > beside:
            total += (-(-live // beside) - 1) * instance.reload_cost[model]
    return total


def _live_bytes_by_model(instance: Instance) -> tuple[list[int], list[int]]:
    """For each model the bytes of outputs that are live at one of its loads, and at one of its unloads, summed over all."""
    at_load, at_unload = [0] * len(instance.model_ids), [0] * len(instance.model_ids)
    for task, output in enumerate(instance.output):
        if not output or not instance.succs[task]:
            continue
        readers = 0
        for after in instance.succs[task]:
            readers |= instance.needs[after]
        for model in bits(readers & ~instance.needs[task]):
            if not _fits_beside(instance, task, model):
                at_load[model] += output
        for model in instance.need_lists[task]:
            others = (after for after in instance.succs[task] if not instance.needs[after] >> model & 1)
            if not all(_fits_beside(instance, after, model) for after in others):
                at_unload[model] += output
    return at_load, at_unload


def _fits_beside(instance: Instance, task: int, model: int) -> bool:
    """Whether `task` can run while `model`, which it does not need, is resident."""
    room = UNLIMITED if instance.room is None else instance.room
    return instance.run_bytes[task] + instance.weights[model] <= room


def feedback_bound(instance: Instance) -> float:
    """First loads, plus the cheapest set of models that meets every cycle of conflicting orders; in load seconds."""
    graphs = (_order_graph(instance, forward=True), _order_graph(instance, forward=False))
    return compulsory.loads(instance) + _feedback_vertex_set(graphs, instance.reload_cost)


def _order_graph(instance: Instance, *, forward: bool) -> list[int]:
    """For each model a bit mask of models: those loaded after it was (or, backwards, those unloaded before it is)."""
    edges = [0] * len(instance.model_ids)
    order = instance.topological
    later = [0] * len(instance.task_ids)
    following, sequence = (instance.succs, reversed(order)) if forward else (instance.preds, iter(order))
    room = UNLIMITED if instance.room is None else instance.room
    for task in sequence:
        for after in following[task]:
            later[task] |= later[after] | instance.needs[after]
        left = room - instance.run_bytes[task]
        conflicting = sum(1 << m for m in bits(later[task] & ~instance.needs[task]) if instance.weights[m] > left)
        for model in instance.need_lists[task]:
            edges[model] |= conflicting
    return edges


def _feedback_vertex_set(graphs: Sequence[list[int]], weights: Sequence[float]) -> float:
    """Least weight of vertices without which no graph has a cycle; past `BRANCHES` a lower bound of it, from packed cycles."""
    everything = (1 << len(weights)) - 1
    packed = _pack_cycles(graphs, weights, everything)
    left = [BRANCHES]
    best = _branch(graphs, weights, everything, sum(weights) + 1.0, left)
    return best if left[0] > 0 else packed


def _branch(graphs: Sequence[list[int]], weights: Sequence[float], vertices: int, cap: float, left: list[int]) -> float:
    """Least weight to remove from `vertices`, or `cap` where it is no less. Some vertex of the shortest cycle must go."""
    left[0] -= 1
    cycle = _shortest_cycle(graphs, vertices)
    if cycle is None:
        return 0.0
    if left[0] <= 0 or _pack_cycles(graphs, weights, vertices) >= cap:
        return cap
    for model in sorted(cycle, key=lambda m: (weights[m], m)):
        rest = vertices & ~(1 << model)
        cap = min(cap, weights[model] + _branch(graphs, weights, rest, cap - weights[model], left))
    return cap


def _pack_cycles(graphs: Sequence[list[int]], weights: Sequence[float], vertices: int) -> float:
    """A lower bound: cycles one after another, each charged to what is left of its vertices' weights."""
    rest, total = list(weights), 0.0
    while (cycle := _shortest_cycle(graphs, vertices)) is not None:
        charge = min(rest[model] for model in cycle)
        total += charge
        for model in cycle:
            rest[model] -= charge
            if rest[model] <= 1e-12:
                vertices &= ~(1 << model)
    return total


def _shortest_cycle(graphs: Sequence[list[int]], vertices: int) -> Cycle | None:
    """A shortest cycle among `vertices`, of any of the graphs."""
    shortest: Cycle | None = None
    for edges in graphs:
        for start in bits(vertices):
            found = _cycle_through(edges, vertices, start, 1 << 30 if shortest is None else len(shortest))
            if found is not None:
                shortest = found
                if len(shortest) == 2:
                    return shortest
    return shortest


def _cycle_through(edges: list[int], vertices: int, start: int, below: int) -> Cycle | None:
    """The shortest cycle through `start` with fewer than `below` vertices, by breadth-first search."""
    seen = 0
    layer: list[Cycle] = [(start,)]
    while layer and len(layer[0]) < below:
        following: list[Cycle] = []
        for path in layer:
            if edges[path[-1]] >> start & 1:
                return path
            for model in bits(edges[path[-1]] & vertices & ~seen):
                seen |= 1 << model
                following.append((*path, model))
        layer = following
    return None
