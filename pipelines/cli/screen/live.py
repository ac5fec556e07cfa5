"""What a person sees while a run goes on: bytes against the limit, live on a terminal, aligned lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from pipelines.schema.record import Event
from pipelines.schema.units import MIB

#: Columns for the name of a step, where there is room.
_NAME = 40


class Live:
    """An observer that prints. Use as a context manager; call it with each event."""

    def __init__(self, out: Console, total_steps: int, limit: int | None) -> None:
        self._out, self._limit, self._total = out, limit, total_steps
        self._progress: Progress | None = None
        self._task: Any = None

    def __enter__(self) -> Live:
        if self._out.is_terminal and not self._out.is_dumb_terminal:
            self._progress = Progress(
                TextColumn("{task.description}"), BarColumn(16), TextColumn("{task.fields[bytes]}", style="green"),
                TextColumn("{task.fields[note]}", style="dim"), TimeElapsedColumn(),
                console=self._out, transient=True, refresh_per_second=4,
            )  # fmt: skip
            self._task = self._progress.add_task("", total=1.0, note="", bytes="")
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
        if self._progress is not None and not data.get("during"):  # beside a run, whose progress is shown
            about = escape(f"{data['op']} {_end_of(_what(data), max(16, self._out.width - 60))}")
            self._progress.reset(self._task)
            # Drawn now: while a library holds the interpreter, no other thread draws.
            self._progress.update(self._task, description=about, note="", refresh=True)

    def _on_progress(self, data: Mapping[str, Any]) -> None:
        if self._progress is not None:
            self._progress.update(self._task, completed=data["fraction"], note=escape(str(data["note"])))

    def _on_sample(self, data: Mapping[str, Any]) -> None:
        if self._progress is not None:
            self._progress.update(self._task, bytes=self._bytes(data["used_bytes"]))

    def _bytes(self, count: int) -> str:
        return f"{count / MIB:,.0f}" + (f" of {self._limit / MIB:,.0f}" if self._limit else "") + " MiB"

    def _on_step_finished(self, data: Mapping[str, Any]) -> None:
        peak = data["measured_peak_bytes"]
        over = self._limit is not None and peak > self._limit
        count = f"[{data['index'] + 1:>{len(str(self._total))}}/{self._total}] "
        size = f"{self._bytes(peak):>{len(self._bytes(self._limit or 0)) + 1}}"
        # A simulated card tracks torch's tensors; of other engines it knows what they declare. Elsewhere all is measured.
        source = data.get("source", "").partition("+")[0]
        how = f" {source:<8}" if source in ("tracked", "declared") else ""
        planned, seconds = f"{how}  planned {data['predicted_peak_bytes'] / MIB:>6,.0f}", f"  {data['seconds']:>6.1f} s"
        room = self._out.width - len(f"{count}unload {size}{seconds}") - 1
        if room < _NAME + len(planned):
            planned = ""
        room = min(_NAME, room - len(planned))
        name = _end_of(_what(data), room) if self._out.is_terminal else _what(data)
        self._out.print(
            Text.assemble(
                (count, "dim"), f"{data['op']:<6} {name:<{max(room, 0)}} ", (size, "bold red" if over else "green"),
                (planned, "dim"), (seconds, "dim"),
            ),
            soft_wrap=True,
        )  # fmt: skip

    def _on_warning(self, data: Mapping[str, Any]) -> None:
        self._say("note", data, "yellow")

    def _on_alert(self, data: Mapping[str, Any]) -> None:
        self._say("alert", data, "yellow")

    def _on_task_failed(self, data: Mapping[str, Any]) -> None:
        self._say("failed", {"text": of_task(data["task"], data["error"])}, "bold red")

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


def of_task(task: str, error: str) -> str:
    """An error with its task's name before it, unless it says that itself."""
    return error if error.startswith(task) else f"{task}: {error}"


def _what(data: Mapping[str, Any]) -> str:
    return data.get("model") or ", ".join(data.get("tasks", ()))


def _end_of(name: str, room: int) -> str:
    """As much of the end of a name as there is room for: it is the end that says which node."""
    return name if len(name) <= room else "…" + name[len(name) - max(room, 2) + 1 :]
