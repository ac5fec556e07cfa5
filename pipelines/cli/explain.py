"""Say why each step of a plan is there, which moment binds, and what more or less memory would change.

headroom explain pipeline=ultrasinger input=song.ogg tier=modest
headroom explain --problem problem.json
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from pipelines.cli.main import no_rest
from pipelines.cli.plan import add_selection, certified
from pipelines.schema.errors import UsageError
from pipelines.schema.plan import Plan
from pipelines.schema.problem import Problem


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
    from pipelines.cli.prepare import Selection, prepare
    from pipelines.cli.show import console, heading
    from pipelines.cli.verbs import composed_settings

    settings = composed_settings(rest)
    if settings is None:
        return 0
    prepared = prepare(settings, Selection(tuple(args.only), tuple(args.first), tuple(args.last), tuple(args.trust)))
    made = certified(prepared.problem, prepared.plan())
    console().print(heading(prepared, made))
    return _tell(prepared.problem, made, prepared.plan)


def _tell(problem: Problem, plan: Plan, replan: Callable[[Problem], Plan]) -> int:
    from pipelines.plan.explain import explain
    from pipelines.plan.explain_text import lines

    print("\n".join(lines(explain(problem, plan, replan))))
    return 0
