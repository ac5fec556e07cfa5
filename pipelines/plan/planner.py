"""From a problem to a plan: methods from cheap to thorough, until one proves its plan optimal or the budget ends.

refusal? -> bound -> first guess -> exact search -> heuristics -> polish, join runs, prefetch -> plan
(feasibility)  (bounds)  (heuristics)     (exact)                      (finish)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipelines.plan import feasibility
from pipelines.plan.bounds import compulsory, forced_reloads
from pipelines.plan.exact import symmetry
from pipelines.plan.exact.search import solve
from pipelines.plan.finish.assemble import assemble
from pipelines.plan.finish.parallel_runs import join_runs
from pipelines.plan.finish.polish import polish
from pipelines.plan.finish.prefetch import prefetch
from pipelines.plan.heuristics.search import search
from pipelines.plan.model.instance import Instance
from pipelines.plan.model.moves import Move, load_seconds
from pipelines.plan.model.slots import to_moves, to_slots
from pipelines.schema.errors import DoesNotFit, InvalidError
from pipelines.schema.plan import Plan
from pipelines.schema.problem import Problem

#: Expansions the searches may spend; a few seconds of one core at worst.
EFFORT = 60_000


#: More than this would take minutes: 100,000 tasks take about 7 core seconds.
MOST_TASKS = 250_000
#: Expansions that one trial order of the last pass stands for.
EXPANSIONS_PER_POLISH_TRIAL = 150
#: Expansions of the first guess for each task.
GUESS_EXPANSIONS_PER_TASK = 40
#: The exact search is tried on at most so many tasks that differ, and so many in all.
MOST_DISTINCT_TASKS, MOST_EXACT_TASKS = 48, 2000


@dataclass(frozen=True, slots=True)
class _Found:
    """The best moves so far, None where there are none, and what is known about every plan's load seconds."""

    moves: list[Move] | None
    bound: float
    method: str
    cost: float = math.inf
    spent: int = 0
    impossible: bool = False

    @property
    def proved(self) -> bool:
        """Whether no plan loads for less."""
        return self.cost - self.bound <= 1e-9 * max(1.0, self.bound)


def plan(problem: Problem, *, effort: int = EFFORT) -> Plan:
    """A plan of `problem`. Pure: the same problem and effort give the same plan on every machine.

    effort: states the searches may expand in all. Raises `DoesNotFit` with a `Refusal`, which is `proved` where no plan
    exists, and `InvalidError` for more than `MOST_TASKS` tasks.
    """
    if len(problem.tasks) > MOST_TASKS:
        raise InvalidError(
            f"The problem has {len(problem.tasks):,} tasks; plans are made for up to {MOST_TASKS:,}. "
            "Split it into problems of fewer items."
        )
    instance = Instance.of(problem)
    refused = feasibility.refusal(instance)
    if refused is not None:
        raise DoesNotFit(refused)
    found = _least_loads(instance, effort)
    if found.moves is None:
        raise DoesNotFit(feasibility.unknown(instance, proved=found.impossible))
    bound = found.bound if problem.objective == "load" else compulsory.makespan(instance)
    moves = polish(instance, found.moves, finish, effort // EXPANSIONS_PER_POLISH_TRIAL)
    return assemble(instance, moves, bound, method=found.method, expansions=found.spent)


def finish(instance: Instance, moves: Sequence[Move]) -> list[Move]:
    """The same loads, with runs joined and loads prefetched where that shortens the makespan."""
    slots = join_runs(instance, to_slots(instance, moves))
    prefetch(instance, slots)
    return to_moves(slots)


def _least_loads(instance: Instance, effort: int) -> _Found:
    """The portfolio for total load seconds. Small or regular problems: a guess, its proof or the optimum, and only where
    the budget ends first the heuristics in full. Others: the heuristics in full and the bounds made for them."""
    best = _Found(None, compulsory.loads(instance), "")
    count = len(instance.task_ids)
    small = count <= MOST_EXACT_TASKS and symmetry.distinct(instance) <= MOST_DISTINCT_TASKS
    guess = min(effort, GUESS_EXPANSIONS_PER_TASK * max(1, count))
    best = _improve_by_heuristics(instance, best, guess if small else effort)
    if instance.room is None or best.proved:
        return best
    best = replace(best, bound=max(best.bound, forced_reloads.loads(instance)))
    if best.proved or not (small or (best.moves is None and count <= MOST_EXACT_TASKS)):
        return best
    best = _solve_exactly(instance, best, effort)
    return best if best.proved or best.impossible else _improve_by_heuristics(instance, best, effort)


def _improve_by_heuristics(instance: Instance, best: _Found, budget: int) -> _Found:
    found = search(instance, budget)
    if found is None:
        return best
    cost = load_seconds(instance, found.moves)
    if best.moves is not None and cost >= best.cost:
        return replace(best, spent=best.spent + found.expansions)
    return replace(best, moves=found.moves, cost=cost, method="heuristics", spent=best.spent + found.expansions)


def _solve_exactly(instance: Instance, best: _Found, budget: int) -> _Found:
    result = solve(instance, budget, None if best.moves is None else best.cost)
    bound, spent = max(best.bound, result.lower_bound), best.spent + result.expansions
    if result.moves is not None:
        cost = load_seconds(instance, result.moves)
        return replace(best, moves=result.moves, cost=cost, bound=bound, method="exact search", spent=spent)
    impossible = best.moves is None and result.exhausted
    return replace(best, bound=bound, spent=spent, impossible=impossible)
