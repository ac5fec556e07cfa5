"""The one way from a problem to a plan: a portfolio from cheap to thorough that stops as soon as something is proved."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.plan import bounds, exact, presolve
from pipelines.plan.assemble import Assembler, Move, assemble
from pipelines.plan.greedy import greedy
from pipelines.plan.instance import Instance
from pipelines.plan.prefetch import prefetch
from pipelines.plan.slots import to_moves, to_slots
from pipelines.plan.streams import together
from pipelines.schema.errors import DoesNotFit
from pipelines.schema.plan import Plan
from pipelines.schema.problem import Problem

#: Expansions the searches may spend; a few seconds of one core at worst.
EFFORT = 100_000


@dataclass(frozen=True, slots=True)
class _Found:
    """The best moves so far, None where there are none, and what is known about every plan's load seconds."""

    moves: list[Move] | None
    bound: float
    method: str
    spent: int = 0
    impossible: bool = False


def plan(problem: Problem, *, effort: int = EFFORT) -> Plan:
    """A plan of `problem`: pure, the same bytes everywhere.

    `effort` caps the searches in expanded states. Raises `DoesNotFit` with a `Refusal`, proved where no plan exists.
    """
    instance = Instance.of(problem)
    refused = presolve.refusal(instance)
    if refused is not None:
        raise DoesNotFit(refused)
    found = _least_loads(instance, effort)
    if found.moves is None:
        raise DoesNotFit(presolve.unknown(instance, proved=found.impossible))
    bound = found.bound if problem.objective == "load" else bounds.makespan(instance)
    moves = finish(instance, found.moves)
    return assemble(instance, moves, bound, method=found.method, expansions=found.spent)


def finish(instance: Instance, moves: list[Move]) -> list[Move]:
    """The same loads, their runs together and their loads early where that shortens the makespan."""
    slots = together(instance, to_slots(instance, moves))
    prefetch(instance, slots)
    return to_moves(slots)


def _least_loads(instance: Instance, effort: int) -> _Found:
    """The portfolio for total load seconds."""
    least = bounds.loads(instance)
    moves = greedy(instance)
    cost = None if moves is None else load_seconds(instance, moves)
    if instance.room is None or (cost is not None and cost <= least):
        return _Found(moves, least, "affinity greedy")
    result = exact.search(instance, effort, cost)
    method = "affinity greedy" if result.moves is None else "exact search"
    impossible = moves is None and result.moves is None and result.exhausted
    return _Found(result.moves or moves, max(least, result.lower_bound), method, result.expansions, impossible)


def load_seconds(instance: Instance, moves: list[Move]) -> float:
    """Total load seconds of `moves`."""
    paper = Assembler(instance)
    for move in moves:
        paper.move(move)
    return paper.load_seconds
