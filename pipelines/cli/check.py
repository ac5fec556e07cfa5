"""Recompute a plan from its problem and say whether it holds: exit 0, or 3 naming the first wrong step, or 4 over the limit.

headroom check outputs/.../plan.json     with the problem.json beside it
headroom check plan.json problem.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pipelines.cli.main import no_rest
from pipelines.schema.plan import Plan
from pipelines.schema.problem import Problem


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `headroom check`."""
    parser.add_argument(
        "plan", type=Path, metavar="PLAN.json", help="from plan --format json, or a run folder, which has one"
    )
    parser.add_argument(
        "problem", type=Path, nargs="?", metavar="PROBLEM.json", help="default: problem.json beside the plan"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text (default) or one JSON object")


def main(args: argparse.Namespace, rest: list[str]) -> int:
    """Check and print the verdict."""
    no_rest(rest, "check")
    from pipelines.plan.check import check

    file = args.plan / "plan.json" if args.plan.is_dir() else args.plan
    plan = Plan.read(file)
    verdict = check(Problem.read(args.problem or file.with_name("problem.json")), plan)
    if args.format == "json":
        print(
            json.dumps(
                {
                    "ok": verdict.ok,
                    "exit_code": int(verdict.exit_code),
                    "step": verdict.step,
                    "reason": verdict.sentence,
                }
            )
        )
    else:
        print(verdict.sentence)
    return int(verdict.exit_code)
