"""Brute force: the least load seconds of a small problem, over every order, eviction and load there is.

Least-cost-first over single moves on states (ran, resident, fresh, loaded) with no estimate and no cleverness. Running
tasks together or prefetching never saves a load, so one task at a time is enough for load seconds.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from pipelines.schema.problem import Problem

State = tuple[frozenset[str], frozenset[str], frozenset[str], frozenset[str]]
NOTHING: frozenset[str] = frozenset()


def least_load_seconds(problem: Problem) -> float | None:
    """The optimum of objective "load", or None where no plan exists."""
    if not _fits(problem, problem.context_bytes):
        return None
    start: State = (NOTHING, NOTHING, NOTHING, NOTHING)
    known, queue, pushed = {start: 0.0}, [(0.0, 0, start)], 0
    while queue:
        spent, _, state = heapq.heappop(queue)
        if len(state[0]) == len(problem.tasks):
            return spent
        if spent > known[state]:
            continue
        for after, cost in _moves(problem, state):
            if spent + cost < known.get(after, float("inf")):
                known[after] = spent + cost
                pushed += 1
                heapq.heappush(queue, (spent + cost, pushed, after))
    return None


def smallest_limit(problem: Problem) -> int:
    """The least limit_bytes under which a plan exists, by bisection."""
    low, high = 0, 1
    while least_load_seconds(_limited(problem, high)) is None:
        low, high = high, 2 * high
    while low + 1 < high:
        middle = (low + high) // 2
        if least_load_seconds(_limited(problem, middle)) is None:
            low = middle
        else:
            high = middle
    return low if least_load_seconds(_limited(problem, low)) is not None else high


def _limited(problem: Problem, limit: int | None) -> Problem:
    return Problem(problem.models, problem.tasks, limit, problem.context_bytes)


def _moves(problem: Problem, state: State) -> Iterator[tuple[State, float]]:
    ran, resident, fresh, loaded = state
    held = _held(problem, ran, resident)
    for task in problem.tasks:
        ready = task.id not in ran and ran.issuperset(task.after) and resident.issuperset(task.models)
        if ready and _fits(problem, held + task.workspace_bytes + task.output_bytes):
            yield (ran | {task.id}, resident, fresh - frozenset(task.models), loaded), 0.0
    for name, model in problem.models.items():
        if name not in resident and _fits(problem, held + model.load_peak_bytes):
            cost = model.reload_seconds if name in loaded else model.load_seconds
            yield (ran, resident | {name}, fresh | {name}, loaded | {name}), cost
    for name in resident - fresh:
        yield (ran, resident - {name}, fresh, loaded), 0.0


def _held(problem: Problem, ran: frozenset[str], resident: frozenset[str]) -> int:
    weights = sum(problem.models[name].weights_bytes for name in resident)
    waited_for = {before for task in problem.tasks if task.id not in ran for before in task.after}
    live = sum(task.output_bytes for task in problem.tasks if task.id in ran and task.id in waited_for)
    return problem.context_bytes + weights + live


def _fits(problem: Problem, count: int) -> bool:
    return problem.limit_bytes is None or count <= problem.limit_bytes
