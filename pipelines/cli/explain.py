"""Say why each step of a plan is there, which moment binds, and what more or less memory would change.

headroom explain pipeline=ultrasinger input=song.ogg tier=modest
headroom explain --problem problem.json
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.cli.main import no_rest
from pipelines.cli.plan import add_selection, selection_of
from pipelines.plan.check import certified
from pipelines.schema.errors import UsageError
from pipelines.schema.plan import Plan
from pipelines.schema.problem import Problem

if TYPE_CHECKING:
    from pipelines.session.prepare import Prepared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `headroom explain`."""
    parser.add_argument("--problem", type=Path, metavar="FILE", help="explain the plan of a bare problem.json")
    parser.add_argument("--plan", type=Path, metavar="FILE", help="with --problem: explain this plan of it")
    add_selection(parser)


def main(args: argparse.Namespace, rest: list[str]) -> int:
    """Plan, explain, print."""
    from pipelines.plan.planner import plan

    if args.plan is not None and args.problem is None:
        raise UsageError("--plan is a plan of a bare problem: add --problem FILE, the problem.json beside it.")
    if args.problem is not None:
        no_rest(rest, "explain --problem")
        problem = Problem.read(args.problem)
        made = Plan.read(args.plan) if args.plan is not None else plan(problem)
        return _tell(problem, certified(problem, made), plan)
    from pipelines.api import plan_settings
    from pipelines.cli.screen.show import console, heading
    from pipelines.cli.verbs import composed_settings

    settings = composed_settings(rest)
    if settings is None:
        return 0
    result = plan_settings(settings, selection_of(args))
    console().print(heading(result.prepared, result.plan))
    return _tell_of(result.prepared, result.plan)


def _tell_of(prepared: Prepared, made: Plan) -> int:
    """Under other limits other chains stream, or none: each limit has its own problem."""
    from pipelines.plan.explain.prices import with_limit
    from pipelines.plan.model.needs import least_bytes
    from pipelines.schema.units import format_bytes
    from pipelines.session.choice import plan_for
    from pipelines.session.streaming import fuse_chains, hungriest

    choice, tier = prepared.choice, prepared.inventory.settings.tier

    def replan(problem: Problem) -> Plan:
        return plan_for(tier, fuse_chains(with_limit(choice.apart, problem.limit_bytes), choice.chains, tier)[0])

    _tell(choice.problem, made, replan, least_bytes(choice.apart))
    largest = hungriest(choice.problem, tier)
    if largest is not None and largest[1] > least_bytes(choice.apart):
        task, need = largest
        print(f"Streaming needs more: below {format_bytes(need)} ({need} bytes) {task.id} is run node by node.")
    return 0


def _tell(problem: Problem, plan: Plan, replan: Callable[[Problem], Plan], least: int | None = None) -> int:
    from pipelines.plan.explain.reasons import explain
    from pipelines.plan.explain.text import lines

    print("\n".join(lines(explain(problem, plan, replan, least=least))))
    return 0
