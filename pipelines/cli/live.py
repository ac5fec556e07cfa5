"""What a person sees while a run goes on: bytes against the limit, live on a terminal, aligned lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from pipelines.schema.record import Event
from pipelines.schema.units import MIB


class Live:
    """An observer that prints. Use as a context manager; call it with each event."""

    def __init__(self, out: Console, total_steps: int, limit: int | None) -> None:
        self._out, self._limit, self._total = out, limit, total_steps
        self._progress: Progress | None = None
        self._task: Any = None

    def __enter__(self) -> Live:
        if self._out.is_terminal:
            self._progress = Progress(
                TextColumn("{task.description}"), BarColumn(20), TextColumn("{task.fields[note]}"), TimeElapsedColumn(),
                console=self._out, transient=True,
            )  # fmt: skip
            self._task = self._progress.add_task("", total=1.0, note="")
            self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        handler = getattr(self, f"_on_{event.kind}", None)
        if handler is not None:
            handler(event.data)

    def _on_step_started(self, data: Mapping[str, Any]) -> None:
        if self._progress is not None:
            self._progress.update(self._task, description=f"{data['op']} {_what(data)}", completed=0, note="")

    def _on_progress(self, data: Mapping[str, Any]) -> None:
        if self._progress is not None:
            self._progress.update(self._task, completed=data["fraction"], note=data["note"])

    def _on_step_finished(self, data: Mapping[str, Any]) -> None:
        peak = data["measured_peak_bytes"]
        limit = f" of {self._limit / MIB:,.0f}" if self._limit else ""
        over = self._limit is not None and peak > self._limit
        self._out.print(
            Text.assemble(
                (f"[{data['index'] + 1:>{len(str(self._total))}}/{self._total}] ", "dim"),
                f"{data['op']:<7}{_what(data):<40} ",
                (f"{peak / MIB:>7,.0f}{limit} MiB", "bold red" if over else "green"),
                (f"  planned {data['predicted_peak_bytes'] / MIB:>7,.0f}", "dim"),
                (f"  {data['seconds']:>6.1f} s", "dim"),
            ),
            soft_wrap=True,
        )

    def _on_warning(self, data: Mapping[str, Any]) -> None:
        self._say("note", data, "yellow")

    def _on_alert(self, data: Mapping[str, Any]) -> None:
        self._say("alert", data, "yellow")

    def _on_task_failed(self, data: Mapping[str, Any]) -> None:
        self._say("failed", {"task": data["task"], "text": data["error"]}, "bold red")

    def _on_task_skipped(self, data: Mapping[str, Any]) -> None:
        self._say("skipped", {"task": data["task"], "text": f"{data['because']} failed"}, "dim")

    def _on_rung(self, data: Mapping[str, Any]) -> None:
        self._say("remedy", {"text": f"{data['rung']}: {data['because']}", "task": data.get("task")}, "yellow")

    def _on_replan(self, data: Mapping[str, Any]) -> None:
        self._total = int(data.get("steps", self._total))
        self._say(
            "new plan", {"text": f"{data['remaining']} tasks left, peak {data['peak_bytes'] / MIB:,.0f} MiB"}, "yellow"
        )

    def _say(self, label: str, data: Mapping[str, Any], style: str) -> None:
        where = f"{data['task']}: " if data.get("task") else ""
        self._out.print(Text.assemble((f"{label}: ", style), f"{where}{data['text']}"), soft_wrap=True)


def _what(data: Mapping[str, Any]) -> str:
    return data.get("model") or ", ".join(data.get("tasks", ()))
