"""Recompute a plan from its problem and say whether it holds: exit 0, or 3 naming the first wrong step, or 4 over the limit.

headroom check outputs/.../plan.json     with the problem.json beside it (of plan-2.json: problem-2.json)
headroom check plan.json problem.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pipelines.cli.main import no_rest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `headroom check`."""
    parser.add_argument(
        "plan", type=Path, metavar="PLAN.json", help="from plan --format json, or a run folder, which has one"
    )
    parser.add_argument(
        "problem",
        type=Path,
        nargs="?",
        metavar="PROBLEM.json",
        help="default: problem.json beside the plan, problem-2.json of plan-2.json",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text (default) or one JSON object")


def main(args: argparse.Namespace, rest: list[str]) -> int:
    """Check and print the verdict."""
    no_rest(rest, "check")
    from pipelines.api import check

    verdict = check(args.plan, args.problem)
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
