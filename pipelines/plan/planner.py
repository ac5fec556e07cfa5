"""The one way from a problem to a plan: a portfolio from cheap to thorough that stops as soon as something is proved."""

from __future__ import annotations

from pipelines.plan import bounds, exact, presolve
from pipelines.plan.assemble import Assembler, Move, assemble
from pipelines.plan.greedy import greedy
from pipelines.plan.instance import Instance
from pipelines.plan.tidy import tidy
from pipelines.schema.errors import DoesNotFit
from pipelines.schema.plan import Plan
from pipelines.schema.problem import Problem

#: Expansions the search may spend; about ten seconds of one core at worst.
EFFORT = 200_000


def plan(problem: Problem, *, effort: int = EFFORT) -> Plan:
    """A plan of `problem`: pure, the same bytes everywhere.

    `effort` caps the search in expanded states. Raises `DoesNotFit` with a `Refusal`, proved where no plan exists.
    """
    instance = Instance.of(problem)
    refused = presolve.refusal(instance)
    if refused is not None:
        raise DoesNotFit(refused)
    least = bounds.loads(instance)
    moves, method, spent = greedy(instance), "affinity greedy", 0
    if instance.room is not None and (moves is None or load_seconds(instance, moves) > least):
        result = exact.search(instance, effort, None if moves is None else load_seconds(instance, moves))
        least, spent = max(least, result.lower_bound), result.expansions
        if result.moves is not None:
            moves, method = result.moves, "exact"
        if moves is None:
            raise DoesNotFit(presolve.unknown(instance, proved=result.exhausted))
    assert moves is not None
    lower = least if problem.objective == "load" else bounds.compulsory(instance)
    return assemble(instance, tidy(instance, moves), lower, method=method, expansions=spent)


def load_seconds(instance: Instance, moves: list[Move]) -> float:
    """Total load seconds of `moves`."""
    paper = Assembler(instance)
    for move in moves:
        paper.move(move)
    return paper.load_seconds
