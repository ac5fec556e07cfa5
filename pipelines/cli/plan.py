"""Show the plan without loading anything: steps, bytes against the limit, and what is proved.

headroom plan pipeline=ultrasinger input=song.ogg tier=modest
headroom plan --problem problem.json --format json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.cli.main import no_rest
from pipelines.plan.check import certified
from pipelines.schema.problem import Problem

if TYPE_CHECKING:
    from pipelines.session.pipeline_part import Selection

FORMATS = ("text", "json", "mermaid", "dot")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `headroom plan`."""
    parser.add_argument("--format", choices=FORMATS, default="text", help="text (default), plan.json, or a drawing")
    parser.add_argument("--problem", type=Path, metavar="FILE", help="plan a bare problem.json, no pipeline needed")
    add_selection(parser)


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Flags that choose a part of the pipeline, shared by the verbs that build one."""
    group = parser.add_argument_group("part of the pipeline")
    group.add_argument("--only", action="append", default=[], metavar="NODE", help="only this node (repeatable)")
    group.add_argument(
        "--from", dest="first", action="append", default=[], metavar="NODE", help="this node and what follows"
    )
    group.add_argument(
        "--until", dest="last", action="append", default=[], metavar="NODE", help="this node and what it needs"
    )
    parser.add_argument("--trust", action="append", default=[], metavar="PACKAGE",
                        help="let the config name classes of this package, too (repeatable)")  # fmt: skip


def selection_of(args: argparse.Namespace) -> Selection:
    """The selection that the flags of `add_selection` make."""
    from pipelines.session.pipeline_part import Selection

    return Selection(tuple(args.only), tuple(args.first), tuple(args.last), tuple(args.trust))


def main(args: argparse.Namespace, rest: list[str]) -> int:
    """Plan and print."""
    if args.problem is not None:
        no_rest(rest, "plan --problem")
        return _bare(args.problem, args.format)
    from pipelines.api import plan_settings
    from pipelines.cli.verbs import composed_settings

    settings = composed_settings(rest)
    if settings is None:
        return 0
    result = plan_settings(settings, selection_of(args))
    if args.format == "json":
        print(result.plan.to_json(), end="")
    elif args.format == "text":
        from pipelines.cli.screen.show import console, show_plan

        show_plan(console(), result.prepared, result.plan)
    else:
        from pipelines.graph.draw import dot, mermaid

        draw = mermaid if args.format == "mermaid" else dot
        print(draw(result.prepared.inventory.graph, result.variants), end="")
    return 0


def _bare(path: Path, form: str) -> int:
    from pipelines.plan.planner import plan

    problem = Problem.read(path)
    made = certified(problem, plan(problem))
    if form == "json":
        print(made.to_json(), end="")
    elif form == "text":
        from pipelines.cli.screen.show import console, steps_table, verdict

        out = console()
        out.print(steps_table(made, limit=made.limit_bytes, context=problem.context_bytes))
        out.print(verdict(made))
    else:
        print(draw_problem(problem, form), end="")
    return 0


def draw_problem(problem: Problem, form: str) -> str:
    """A bare problem's tasks as Mermaid or DOT."""
    number = {task.id: f"t{index}" for index, task in enumerate(problem.tasks)}
    edges = [(number[before], number[task.id]) for task in problem.tasks for before in task.after]
    labels = {number[task.id]: json.dumps(task.id, ensure_ascii=False) for task in problem.tasks}
    if form == "mermaid":
        lines = [
            "flowchart LR",
            *(f"  {key}[{text}]" for key, text in labels.items()),
            *(f"  {a} --> {b}" for a, b in edges),
        ]
        return "\n".join(lines) + "\n"
    lines = ["digraph problem {", "  rankdir=LR; node [shape=box];"]
    lines += [*(f"  {key} [label={text}];" for key, text in labels.items()), *(f"  {a} -> {b};" for a, b in edges), "}"]
    return "\n".join(lines) + "\n"
