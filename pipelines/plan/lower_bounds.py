"""Load seconds that no plan of a large problem can go below. Each bound is a relaxation; `loads` takes the highest.

- `residencies`: while a model stays resident, tasks that cannot run beside it do not run. What they hand to its tasks, or
  take from them, is therefore live when it comes or when it goes, and must fit beside it: so many bytes, so many loads.
- `detours`: let every model of a set be loaded once. If some task of a comes before some task of b and cannot run
  beside b, then b comes after a came. A circle of such pairs is a contradiction, so of each circle one model is loaded
  again; the cheapest choice that meets every circle bounds the reloads (a feedback vertex set, solved by branching).
  The same holds, mirrored, for when models go.
- `exact_core`: a plan of the whole is a plan of any part. Of each kind of pipeline one item is kept, of a few kinds at a
  time, and the models these use; of the others the first load counts. That is small enough for the exact search, which
  answers with an optimum or with a bound of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipelines.plan import bounds
from pipelines.plan.heuristics.guard import component_lists
from pipelines.plan.heuristics.jobs import UNLIMITED, contract, plain
from pipelines.plan.instance import Instance
from pipelines.schema.problem import Problem

Circle = tuple[int, ...]
Exact = Callable[[Instance, int], float]
BRANCHES = 3_000
CORES = (3, 4, 6, 9)  # kinds of pipelines in a core


def loads(instance: Instance, *, exact: Exact | None = None, effort: int = 0) -> float:
    """The highest of the bounds. `exact(instance, effort)` bounds small instances; without it that bound is left out."""
    found = [bounds.loads(instance), residencies(instance), detours(instance)]
    if exact is not None and effort > 0:
        found.append(exact_core(instance, exact, effort))
    return max(found)


def residencies(instance: Instance) -> float:
    """Loads forced by outputs that cross into or out of a model's tasks. O(edges)."""
    total = bounds.loads(instance)
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
        for model in _models(taken & ~instance.needs[task]):
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
    return _need(instance, task) + instance.weights[model] > room


def _need(instance: Instance, task: int) -> int:
    """Bytes that are there whenever `task` runs: its models, workspace and output, and what it was handed."""
    handed = sum(instance.output[pred] for pred in instance.preds[task])
    weights = sum(instance.weights[model] for model in instance.need_lists[task])
    return weights + instance.workspace[task] + instance.output[task] + handed


def detours(instance: Instance) -> float:
    """First loads, plus the cheapest set of models that meets every circle of conflicting orders."""
    graphs = (_after_edges(instance, forward=True), _after_edges(instance, forward=False))
    return bounds.loads(instance) + _cheapest_cut(graphs, instance.reload_cost)


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
        left = room - _need(instance, task)
        apart = sum(1 << m for m in _models(later[task] & ~instance.needs[task]) if instance.weights[m] > left)
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
        for start in _models(alive):
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
            for model in _models(edges[path[-1]] & alive & ~seen):
                seen |= 1 << model
                following.append((*path, model))
        layer = following
    return None


def exact_core(instance: Instance, exact: Exact, effort: int) -> float:
    """The best bound the exact search gives on one item of a few pipelines, within `effort` in all."""
    pipelines = _pipelines(instance)
    best = bounds.loads(instance)
    for size in CORES:
        core = _core(instance, sorted(task for tasks in pipelines[:size] for task in tasks))
        outside = bounds.loads(instance) - bounds.loads(core)
        best = max(best, exact(core, effort // len(CORES)) + outside)
        if size >= len(pipelines):
            break
    return best


def _pipelines(instance: Instance) -> list[list[int]]:
    """One component of each kind (tasks alike in models and order), the one that needs most bytes; most models first."""
    jobs = contract(instance)
    job_of = {task: job for job, tasks in enumerate(jobs.members) for task in tasks}
    dearest: dict[tuple[int, ...], tuple[int, list[int]]] = {}
    for tasks in component_lists(plain(instance)):
        kind = tuple(sorted(job_of[task] for task in tasks))
        need = sum(_need(instance, task) for task in tasks)
        if kind not in dearest or need > dearest[kind][0]:
            dearest[kind] = (need, tasks)
    chosen = [tasks for _, tasks in dearest.values()]
    return sorted(chosen, key=lambda tasks: (-len({instance.needs[task] for task in tasks}), tasks))


def _core(instance: Instance, chosen: Sequence[int]) -> Instance:
    """The problem of some whole components, and of the models they use: loads in it are loads in any plan of the whole."""
    tasks = [instance.problem.tasks[task] for task in chosen]
    used = {name for task in tasks for name in task.models}
    models = [model for model in instance.problem.models.values() if model.id in used]
    context, limit = instance.problem.context_bytes, instance.problem.limit_bytes
    return Instance.of(Problem.of(models, tasks, limit, context_bytes=context))


def _models(mask: int) -> list[int]:
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found
