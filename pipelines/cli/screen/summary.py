"""What a run ends with on the screen."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

from rich.console import Console
from rich.text import Text

from pipelines.cli.screen.live import of_task
from pipelines.run.outcome import Outcome
from pipelines.run.record import Record
from pipelines.schema.ids import TaskId
from pipelines.schema.plan import Plan
from pipelines.schema.units import format_bytes, format_seconds
from pipelines.stream.report import summary


def summarise(
    out: Console, record: Record, plan: Plan, outcome: Outcome, outputs: Mapping[str, list[str]], ends: AbstractSet[str]
) -> None:
    """Peak against limit and plan, the files, how it sounded, where the record is; the first error last."""
    out.print()
    limit = f" of {format_bytes(plan.limit_bytes)}" if plan.limit_bytes is not None else ""
    out.print(
        f"Peak {format_bytes(outcome.measured_peak_bytes)}{limit} (planned {format_bytes(plan.peak_bytes)}), "
        f"{format_seconds(record.elapsed())}."
    )
    name_finals(out, record.folder, outputs, ends)
    for line in summary(record.fields.get("stream") or {}):
        out.print(Text(f"  {line}", style="dim"), soft_wrap=True)
    out.print(Text(f"Record: {record.folder}", style="dim"), soft_wrap=True)
    for task, error in reversed(outcome.failed.items()):  # the first nearest the prompt
        waiting = sum(1 for because in outcome.skipped.values() if because == task)
        tail = f" ({waiting} that need it skipped)" if waiting else ""
        out.print(Text.assemble(("failed: ", "bold red"), f"{of_task(task, str(error))}{tail}"), soft_wrap=True)


def name_finals(out: Console, folder: Path, outputs: Mapping[str, list[str]], ends: AbstractSet[str]) -> None:
    """The paths of what the nodes `ends` made, of each task's `outputs`, in the run folder `folder`."""
    for path in _finals(outputs, ends):
        out.print(Text(f"  {folder / 'artifacts' / path}", style="bold"), soft_wrap=True)


def _finals(outputs: Mapping[str, list[str]], ends: AbstractSet[str], most: int = 12) -> list[str]:
    """The files a person came for: what nodes at the ends of the pipeline made; few enough to read, songs before their sound."""
    found = [name for task, names in outputs.items() if TaskId.parse(task).node in ends for name in names]
    return sorted(found, key=lambda name: (TaskId.parse(name).item, not name.endswith(".txt"), name))[:most]
