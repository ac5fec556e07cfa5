"""Executes one task, or a chain of them: gathers inputs, runs nodes, saves outputs. Knows nothing of plans and steps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pipelines.devices.protocol import Device
from pipelines.graph.expand import footprint_of
from pipelines.inputs.audio import open_audio
from pipelines.run.artifacts import Artifacts, read_note
from pipelines.run.errors import as_headroom
from pipelines.run.job import Job
from pipelines.run.tracked_settings import TrackedSettings
from pipelines.schema.errors import HeadroomError, Interrupted, TaskFailed
from pipelines.schema.ids import TaskId, fused_id
from pipelines.schema.node import Context, Outputs, Port
from pipelines.schema.values import PORTS, Text, Value
from pipelines.stream.chain_run import ChainRun, OutputWriter, expected_seconds, real_time_factor
from pipelines.stream.stages import Stage, pieces_for


@dataclass(frozen=True)
class Tasks:
    """Executes the tasks of one job. emit: informs the observers, as `Engine.emit`."""

    job: Job
    device: Device
    artifacts: Artifacts
    emit: Callable[..., None]
    cancel: threading.Event
    clock: Callable[[], float]
    #: Files of which a warning was given.
    warned: set[Path] = field(default_factory=set)
    #: Files are opened one at a time.
    opening: threading.Lock = field(default_factory=threading.Lock)

    def attempt(self, task: str, model: Any) -> HeadroomError | None:
        """Execute one task with its loaded model. Returns the error it ended with, None where it is done; raises only interrupts."""
        try:
            self._do(task, model)
        except (Interrupted, KeyboardInterrupt):
            self._clear([task])
            raise
        except Exception as error:
            self._clear([task])
            return as_headroom(error, f"{task} failed")
        return None

    def attempt_chain(self, tasks: Sequence[str], models: Sequence[Any]) -> dict[str, HeadroomError | None]:
        """Execute the parts of a fused task. Returns the error each ended with, or None; parts after a failed one are left out.

        Where a later node cannot work piece by piece, all are executed one after another: streaming is no reason to fail.
        """
        if len(tasks) == 1:
            return {tasks[0]: self.attempt(tasks[0], models[0])}
        error, origin = self._attempt_together(tasks, models)
        if error is None:
            return dict.fromkeys(tasks)
        if origin == 0 or not isinstance(error, TaskFailed):
            return {tasks[0]: error}
        self.emit("warning", task=fused_id(tasks), text=f"streaming ended ({error}); its nodes are run one by one.")
        ended: dict[str, HeadroomError | None] = {}
        for task, model in zip(tasks, models, strict=True):
            ended[task] = self.attempt(task, model)
            if ended[task] is not None:
                break
        return ended

    def _attempt_together(self, tasks: Sequence[str], models: Sequence[Any]) -> tuple[HeadroomError | None, int]:
        """The error and the index of the task it came from."""
        self._clear(tasks)
        chain_run = None
        try:
            chain_run = self._chain_run(tasks, models)
            chain_run.execute()
            self._save(tasks, chain_run)
        except (Interrupted, KeyboardInterrupt):
            self._clear(tasks)
            raise
        except Exception as error:
            self._clear(tasks)
            origin = chain_run.failed_first if chain_run else len(tasks) - 1
            return as_headroom(error, f"{tasks[origin]} failed"), origin
        return None, 0

    def _chain_run(self, tasks: Sequence[str], models: Sequence[Any]) -> ChainRun:
        since, limit = self.clock(), self.job.plan.limit_bytes
        stages, writers = [], []
        for index, (task, model) in enumerate(zip(tasks, models, strict=True)):
            at = TaskId.parse(task)
            node, ports = self.job.nodes[at.node], self.job.graph.ports[at.node]
            main, (first, given) = next(iter(ports.inputs)), next(iter(ports.outputs.items()))
            inputs = self._inputs(at, streamed=main if index else None)
            stages.append(Stage(node, model, inputs, self._context(task), main, pieces_for(node)))
            writers.append(
                OutputWriter(self.artifacts.folder(at.item, at.node), first, given.type == "audio", self.clock)
            )
        return ChainRun(
            stages, writers, self.job.streaming, expected_seconds(self.job.items[TaskId.parse(tasks[0]).item]),
            clock=self.clock, sleep=self.cancel.wait, since=since, promised=self._promised(tasks),
            pressure=lambda: self.device.used_bytes() / limit if limit else 0.0,
        )  # fmt: skip

    def _promised(self, tasks: Sequence[str]) -> float | None:
        job, memory = self.job, self.device.memory
        nodes = [TaskId.parse(task).node for task in tasks]
        knobs = (job.choice[node].knobs if node in job.choice else job.graph.node(node).knobs for node in nodes)
        return real_time_factor(
            zip((footprint_of(job.graph, node, job.choice, memory) for node in nodes), knobs, strict=True)
        )

    def _save(self, tasks: Sequence[str], chain_run: ChainRun) -> None:
        """Every node's outputs with its note; then the report."""
        for task, stage, writer, seconds in zip(
            tasks, chain_run.stages, chain_run.writers, chain_run.seconds(), strict=True
        ):
            # Joined by fades, it is not what the node would have made at once; whoever reads the note may want to know.
            extra = {"in_pieces": True} if stage.pieces is not None else {}
            self._saved(task, stage.context, writer.outputs, seconds, extra)
        self.emit("stream", task=fused_id(tasks), **chain_run.report().to_dict())

    def _do(self, task: str, model: Any) -> None:
        at = TaskId.parse(task)
        self._clear([task])
        begun, context = self.clock(), self._context(task)
        outputs = self.job.nodes[at.node].run(model, self._inputs(at), context)
        self._saved(task, context, outputs, self.clock() - begun, {})

    def _saved(self, task: str, context: Context, outputs: Outputs, seconds: float, extra: Mapping[str, Any]) -> None:
        at = TaskId.parse(task)
        begun = self.clock()
        _check(task, outputs, self.job.graph.ports[at.node].outputs)
        names = cast("TrackedSettings", context.settings).names
        digests = self.artifacts.save(
            at.item, at.node, outputs, {**fingerprint(self.job, self.artifacts, task, names), **extra}
        )
        seconds += self.clock() - begun
        length = self.job.items[at.item].seconds
        speed = length / seconds if length and seconds else None
        self.emit("task_finished", task=task, seconds=seconds, speed=speed, outputs=digests)

    def _clear(self, tasks: Iterable[str]) -> None:
        for task in tasks:
            at = TaskId.parse(task)
            self.artifacts.clear(at.item, at.node)

    def _context(self, task: str) -> Context:
        """What the node is given: its folder exists, and a warning that it repeats is shown once."""
        at = TaskId.parse(task)
        folder, shown = self.artifacts.folder(at.item, at.node), set[str]()
        folder.mkdir(parents=True, exist_ok=True)

        def warn(sentence: str) -> None:
            if sentence not in shown:
                shown.add(sentence)
                self.emit("warning", task=task, text=sentence)

        return Context(
            item=at.item,
            folder=folder,
            settings=TrackedSettings(self.job.items[at.item].settings),
            device=self.job.device_of(at.node) or self.device.torch_device,
            seed=self.job.task_seed(task),
            report=lambda fraction, note: self.emit("progress", task=task, fraction=fraction, note=note),
            cancelled=self.cancel.is_set,
            warn=warn,
        )

    def _inputs(self, at: TaskId, streamed: str | None = None) -> dict[str, Value]:
        """The node's inputs by port, without the `streamed` one."""
        values = {}
        ports = self.job.graph.ports[at.node].inputs
        for port, source in self.job.graph.node(at.node).inputs.items():
            producer, _, name = source.partition(".")
            if port == streamed:
                continue
            if producer != "item":
                values[port] = self.artifacts.value(at.item, producer, name)
            elif not ports[port].optional or self.job.items[at.item].settings.get(name):
                values[port] = self._of_item(at.item, name)
        return values

    def _of_item(self, name: str, port: str) -> Value:
        item = self.job.items[name]
        if port == "text":
            return Text(str(item.settings.get("text", "")), str(item.settings.get("language") or "en"))
        path = item.path if port == "audio" else item.settings.get(port)
        if path is None:
            raise TaskFailed(f"{name} has no {port}: its row names no file.")
        file = Path(str(path)).expanduser()
        with self.opening:
            return open_audio(file, self.artifacts.folder(name, "item"), lambda text: self._warn_once(file, text))

    def _warn_once(self, file: Path, text: str) -> None:
        """Once for each file."""
        if file not in self.warned:
            self.warned.add(file)
            self.emit("warning", text=text)


def fingerprint(job: Job, artifacts: Artifacts, task: str, names: Iterable[str]) -> dict[str, Any]:
    """What a task's result depends on, its inputs by their content: the key for reusing it. names: as in `Job.fingerprint`.

    Raises `OSError` where an input is not there.
    """
    at = TaskId.parse(task)
    given: dict[str, Any] = {}
    settings = job.items[at.item].settings
    for port, source in job.graph.node(at.node).inputs.items():
        producer, _, name = source.partition(".")
        if producer != "item":
            given[port] = artifacts.content(at.item, producer, name)
        elif name == "text":
            given[port] = [settings.get("text"), settings.get("language")]
        elif path := job.items[at.item].path if name == "audio" else settings.get(name):
            given[port] = [job.inputs.get(str(path))]
    return {**job.fingerprint(at.node, at.item, names), "given": given}


def _check(task: str, given: Outputs, promised: Mapping[str, Port]) -> None:
    """Check that a node gave what its class promises. Raises `TaskFailed` here, and not at the node that misses it."""
    for name, port in promised.items():
        value = given.get(name) if isinstance(given, Mapping) else None
        if value is None and not port.optional:
            raise TaskFailed(
                f"{task} gave no {name!r}, which its `outputs` promise: `run` returns a dict of its outputs."
            )
        if value is not None and not isinstance(value, PORTS[port.type]):
            wanted = PORTS[port.type].__name__
            raise TaskFailed(
                f"{task} gave {name!r} as {type(value).__name__}, and its `outputs` promise {wanted} (pipelines.schema.values)."
            )


def outputs_of(artifacts: Artifacts, tasks: Iterable[str]) -> dict[str, list[str]]:
    """Files of the finished `tasks`, by task, relative to the artifacts folder."""
    found = {}
    for task in tasks:
        at = TaskId.parse(task)
        folder = artifacts.folder(at.item, at.node)
        found[task] = [str((folder / name).relative_to(artifacts.root)) for name in read_note(folder)["sha256"]]
    return found
