"""The one way from a problem to a plan: a portfolio from cheap to thorough that stops as soon as something is proved."""

from __future__ import annotations

from pipelines.plan import bounds, presolve
from pipelines.plan.assemble import assemble
from pipelines.plan.greedy import greedy
from pipelines.plan.instance import Instance
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
    moves = greedy(instance)
    if moves is None:
        raise DoesNotFit(presolve.unknown(instance, proved=False))
    return assemble(instance, moves, bounds.compulsory(instance), method="affinity greedy")
