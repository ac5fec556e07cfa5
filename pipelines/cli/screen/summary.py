"""What a run ends with on the screen."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from pipelines.cli.screen.live import of_task
from pipelines.schema.units import format_bytes, format_seconds
from pipelines.session.result import RunResult
from pipelines.stream.report import summary

#: Files named at the end: few enough to read.
_MOST_FILES = 12


def summarise(out: Console, result: RunResult) -> None:
    """Peak against limit and plan, the files, how it sounded, where the record is; the first error last."""
    if result.plan is None:
        return _nothing_left(out, result)
    plan = result.plan
    limit = f" of {format_bytes(plan.limit_bytes)}" if plan.limit_bytes is not None else ""
    out.print()
    out.print(
        f"Peak {format_bytes(result.peak_bytes or 0)}{limit} (planned {format_bytes(plan.peak_bytes)}), "
        f"{format_seconds(result.seconds)}."
    )
    _name_finals(out, result)
    for line in summary(result.streams):
        out.print(Text(f"  {line}", style="dim"), soft_wrap=True)
    out.print(Text(f"Record: {result.folder}", style="dim"), soft_wrap=True)
    for task, error in reversed(list(result.failed.items())):  # the first nearest the prompt
        waiting = sum(1 for because in result.skipped.values() if because == task)
        tail = f" ({waiting} that need it skipped)" if waiting else ""
        out.print(Text.assemble(("failed: ", "bold red"), f"{of_task(task, error)}{tail}"), soft_wrap=True)
    return None


def _nothing_left(out: Console, result: RunResult) -> None:
    done = len(result.artifacts)
    out.print(f"{done} of {done} tasks are finished already: nothing is left to do. (--force does them again.)")
    _name_finals(out, result)


def _name_finals(out: Console, result: RunResult) -> None:
    for path in result.finals[:_MOST_FILES]:
        out.print(Text(f"  {path}", style="bold"), soft_wrap=True)
