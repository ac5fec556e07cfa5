"""Brute force: the least makespan of a tiny problem, over every order, set of tasks together, eviction and prefetch.

A move is everything up to and with the next run: unloads first (they cost nothing), plain loads in any order, prefetches
in any order, the run. Each candidate list of steps is judged by `definition`, so nothing about bytes or time is known here.
Exponential many times over: four tasks and two models are plenty.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, combinations, permutations

from pipelines.schema.plan import Load, Run, Step, Unload
from pipelines.schema.problem import Problem
from tests.plan.definition import Definition, keeps_limit

Steps = tuple[Step, ...]


def least_makespan(problem: Problem) -> tuple[float, Steps] | None:
    """The least makespan and steps that reach it, or None where no plan exists."""
    best: tuple[float, Steps] | None = None
    stack: list[Steps] = [()] if keeps_limit(problem, ()) else []
    seen: dict[tuple[object, ...], None] = {}
    while stack:
        steps = stack.pop()
        definition = Definition(problem, steps)
        done = definition.done(len(steps))
        if len(done) == len(problem.tasks):
            end = _end(definition)
            best = (end, steps) if best is None or end < best[0] else best
            continue
        for more in _moves(definition, done):
            after = steps + more
            state = _state(Definition(problem, after))
            if state not in seen and keeps_limit(problem, after):
                seen[state] = None
                stack.append(after)
    return best


def _end(definition: Definition) -> float:
    return max((definition.end(at) for at, step in enumerate(definition.steps) if isinstance(step, Run)), default=0.0)


def _state(definition: Definition) -> tuple[object, ...]:
    """All that the future can see of the past."""
    steps, count = definition.steps, len(definition.steps)
    resident = definition.resident(count)
    loads = {s.model: at for at, s in enumerate(steps) if isinstance(s, Load)}
    pending = frozenset(
        (m, definition.end(loads[m]))
        for m in resident
        if isinstance(s := steps[loads[m]], Load) and s.during is not None
    )
    used = frozenset(
        m for m in resident if any(isinstance(s, Run) and m in definition.models(s) for s in steps[loads[m] :])
    )
    lane = max((definition.end(at) for at in loads.values()), default=0.0)
    return (
        frozenset(definition.done(count)),
        frozenset(resident),
        frozenset(loads),
        pending,
        used,
        lane,
        _end(definition),
    )


def _subsets(items: list[str], most: int | None = None) -> Iterator[tuple[str, ...]]:
    sizes = range(len(items) + 1 if most is None else most + 1)
    return chain.from_iterable(combinations(items, size) for size in sizes)


def _moves(definition: Definition, done: set[str]) -> Iterator[Steps]:
    problem, count = definition.problem, len(definition.steps)
    ready = [task.id for task in problem.tasks if task.id not in done and done.issuperset(task.after)]
    resident = definition.resident(count)
    last = {s.model: at for at, s in enumerate(definition.steps) if isinstance(s, Load)}
    used = {
        m
        for m in resident
        if any(isinstance(s, Run) and m in definition.models(s) for s in definition.steps[last[m] :])
    }
    for names in _subsets(ready, problem.streams):
        run = Run(names, 0)
        uses = [model for task in definition.of(run) for model in task.models]
        if not names or any(uses.count(m) > 1 and not problem.models[m].shareable for m in uses):
            continue
        for gone in _subsets(
            sorted(used)
        ):  # what the run needs may go, too, and come back, so that another has room to load
            away = sorted(set(problem.models) - resident) + list(gone)
            for order in _loads(set(uses) - (resident - set(gone)), away):
                rest = [model for model in away if model not in order and model not in uses]
                for early in chain.from_iterable(permutations(some) for some in _subsets(rest)):
                    yield (
                        *(Unload(model, 0) for model in gone),
                        *(Load(model, 0) for model in order),
                        *(Load(model, 0, names[0]) for model in early),
                        run,
                    )


def _loads(must: set[str], away: list[str]) -> Iterator[tuple[str, ...]]:
    """Every order of plain loads that brings at least what the run needs."""
    for more in _subsets([model for model in away if model not in must]):
        yield from permutations((*sorted(must), *more))
