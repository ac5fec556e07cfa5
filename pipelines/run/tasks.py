"""One task: its inputs gathered, its node run, its outputs saved. Knows nothing of plans and steps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.run.artifacts import Artifacts, read_note
from pipelines.run.devices.protocol import Device
from pipelines.run.inputs import open_audio
from pipelines.run.job import Job, split_task
from pipelines.run.outcome import as_headroom
from pipelines.schema.errors import HeadroomError, Interrupted, TaskFailed
from pipelines.schema.node import Context
from pipelines.schema.values import Text, Value


@dataclass(frozen=True)
class Tasks:
    """Does the tasks of one job. emit: tells the observers, as `Engine.emit`."""

    job: Job
    device: Device
    artifacts: Artifacts
    emit: Callable[..., None]
    cancel: threading.Event
    clock: Callable[[], float]

    def attempt(self, task: str, model: Any) -> HeadroomError | None:
        """Do one task with its loaded model. The error it ended with, None where it is done. Only interrupts are raised."""
        try:
            self._do(task, model)
        except (Interrupted, KeyboardInterrupt):
            self.artifacts.clear(*split_task(task))
            raise
        except Exception as error:
            self.artifacts.clear(*split_task(task))
            return as_headroom(error, f"{task} failed")
        return None

    def _do(self, task: str, model: Any) -> None:
        item_name, node_name = split_task(task)
        item, node = self.job.items[item_name], self.job.nodes[node_name]
        self.artifacts.clear(item_name, node_name)
        folder = self.artifacts.folder(item_name, node_name)
        folder.mkdir(parents=True, exist_ok=True)
        begun = self.clock()
        context = Context(
            item=item_name,
            folder=folder,
            settings=item.settings,
            device=self.job.device_of(node_name) or self.device.torch_device,
            seed=self.job.task_seed(task),
            report=lambda fraction, note: self.emit("progress", task=task, fraction=fraction, note=note),
            cancelled=self.cancel.is_set,
            warn=lambda sentence: self.emit("warning", task=task, text=sentence),
        )
        outputs = node.run(model, self._inputs(item_name, node_name), context)
        digests = self.artifacts.save(item_name, node_name, outputs, self.job.about(node_name, item_name))
        seconds = self.clock() - begun
        speed = item.seconds / seconds if item.seconds and seconds else None
        self.emit("task_finished", task=task, seconds=seconds, speed=speed, outputs=digests)

    def _inputs(self, item: str, node: str) -> dict[str, Value]:
        values = {}
        ports = self.job.graph.ports[node].inputs
        for port, source in self.job.graph.node(node).inputs.items():
            producer, _, name = source.partition(".")
            if producer != "item":
                values[port] = self.artifacts.value(item, producer, name)
            elif not ports[port].optional or self.job.items[item].settings.get(name):
                values[port] = self._of_item(item, name)
        return values

    def _of_item(self, name: str, port: str) -> Value:
        item = self.job.items[name]
        if port == "text":
            return Text(str(item.settings.get("text", "")), str(item.settings.get("language") or "en"))
        path = item.path if port == "audio" else item.settings.get(port)
        if path is None:
            raise TaskFailed(f"{name} has no {port}: its row names no file.")
        return open_audio(Path(str(path)).expanduser(), self.artifacts.folder(name, "item"))


def outputs_of(artifacts: Artifacts, tasks: Iterable[str]) -> dict[str, list[str]]:
    """Files of the finished `tasks`, by task, relative to the artifacts folder."""
    found = {}
    for task in tasks:
        folder = artifacts.folder(*split_task(task))
        found[task] = [str((folder / name).relative_to(artifacts.root)) for name in read_note(folder)["sha256"]]
    return found
