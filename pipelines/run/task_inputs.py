"""Gathers the inputs of a task: results of earlier tasks from the artifacts, texts and opened files from the item."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.inputs.audio import open_audio
from pipelines.run.artifacts import Artifacts
from pipelines.run.job import Job
from pipelines.schema.errors import TaskFailed
from pipelines.schema.ids import TaskId
from pipelines.schema.values import Text, Value


@dataclass(frozen=True)
class TaskInputs:
    """The inputs of one job's tasks. emit: informs the observers, as `Engine.emit`."""

    job: Job
    artifacts: Artifacts
    emit: Callable[..., None]
    _warned: set[Path] = field(default_factory=set)
    #: Files are opened one at a time.
    _opening: threading.Lock = field(default_factory=threading.Lock)

    def of(self, task: TaskId, without: str | None = None) -> dict[str, Value]:
        """The task's inputs by port, except the one called `without`. Raises `TaskFailed` for a file that cannot be read."""
        values = {}
        ports, settings = self.job.graph.ports[task.node].inputs, self.job.items[task.item].settings
        for port, source in self.job.graph.node(task.node).inputs.items():
            producer, _, name = source.partition(".")
            if port == without:
                continue
            if producer != "item":
                values[port] = self.artifacts.value(task.item, producer, name)
            elif not ports[port].optional or settings.get(name):
                values[port] = self._of_item(task.item, name)
        return values

    def _of_item(self, name: str, port: str) -> Value:
        item = self.job.items[name]
        if port == "text":
            return Text(str(item.settings.get("text", "")), str(item.settings.get("language") or "en"))
        path = item.path if port == "audio" else item.settings.get(port)
        if path is None:
            raise TaskFailed(f"{name} has no {port}: its row names no file.")
        file = Path(str(path)).expanduser()
        with self._opening:
            return open_audio(file, self.artifacts.folder(name, "item"), lambda text: self._warn(file, text))

    def _warn(self, file: Path, text: str) -> None:
        """Emit a warning, the first one about each file."""
        if file not in self._warned:
            self._warned.add(file)
            self.emit("warning", text=text)
