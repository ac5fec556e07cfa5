"""Executes one task, or the parts of a fused one: gathers inputs, runs nodes, saves outputs. Knows nothing of plans and steps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pipelines.devices.protocol import Device
from pipelines.graph.expand import footprint_of
from pipelines.run.artifacts import Artifacts, read_note
from pipelines.run.errors import as_headroom
from pipelines.run.fingerprint import fingerprint
from pipelines.run.job import Job
from pipelines.run.task_inputs import TaskInputs
from pipelines.run.tracked_settings import TrackedSettings
from pipelines.schema.errors import HeadroomError, Interrupted, TaskFailed
from pipelines.schema.ids import TaskId, task_id
from pipelines.schema.node import Context, Outputs, Port
from pipelines.schema.values import PORTS
from pipelines.stream.chain_nodes import ChainNode, cut_settings_for
from pipelines.stream.chain_run import ChainRun, OutputWriter, expected_seconds, real_time_factor

#: What tasks ended with, by id: an error, or None where they are done.
Ended = dict[str, HeadroomError | None]


@dataclass(frozen=True)
class TaskRunner:
    """Executes the tasks of one job. emit: informs the observers, as `Engine.emit`."""

    job: Job
    device: Device
    artifacts: Artifacts
    inputs: TaskInputs
    emit: Callable[..., None]
    cancel: threading.Event
    clock: Callable[[], float]

    def attempt(self, names: Sequence[str], models: Sequence[Any]) -> Ended:
        """Execute one task, or the parts of a fused task, with their loaded models. Raises only interrupts.

        Parts that come after a failed one are left out of the answer. Where a later node turns out not to work piece by
        piece, the parts are executed one after another: streaming is no reason to fail.
        """
        tasks = [TaskId.parse(name) for name in names]
        if len(tasks) == 1:
            return {names[0]: self._attempt_one(tasks[0], models[0])}
        error, origin = self._attempt_streaming(tasks, models)
        if error is None:
            return dict.fromkeys(names)
        if origin == 0 or not isinstance(error, TaskFailed):
            return {names[0]: error}
        self.emit("warning", task=_fused(tasks), text=f"streaming ended ({error}); its nodes are run one by one.")
        ended: Ended = {}
        for name, task, model in zip(names, tasks, models, strict=True):
            ended[name] = self._attempt_one(task, model)
            if ended[name] is not None:
                break
        return ended

    # -- one task -----------------------------------------------------------------------------------------------

    def _attempt_one(self, task: TaskId, model: Any) -> HeadroomError | None:
        try:
            self._execute(task, model)
        except (Interrupted, KeyboardInterrupt):
            self._clear([task])
            raise
        except Exception as error:
            self._clear([task])
            return as_headroom(error, f"{task} failed")
        return None

    def _execute(self, task: TaskId, model: Any) -> None:
        self._clear([task])
        begun, context = self.clock(), self._context(task)
        outputs = self.job.nodes[task.node].run(model, self.inputs.of(task), context)
        self._save(task, context, outputs, self.clock() - begun, {})

    def _context(self, task: TaskId) -> Context:
        """What the node is given: its folder exists, and a warning that it repeats is shown once."""
        name, folder, shown = str(task), self.artifacts.folder(task.item, task.node), set[str]()
        folder.mkdir(parents=True, exist_ok=True)

        def warn(sentence: str) -> None:
            if sentence not in shown:
                shown.add(sentence)
                self.emit("warning", task=name, text=sentence)

        return Context(
            item=task.item,
            folder=folder,
            settings=TrackedSettings(self.job.items[task.item].settings),
            device=self.job.device_of(task.node) or self.device.torch_device,
            seed=self.job.task_seed(name),
            report=lambda fraction, note: self.emit("progress", task=name, fraction=fraction, note=note),
            cancelled=self.cancel.is_set,
            warn=warn,
        )

    def _save(self, task: TaskId, context: Context, outputs: Outputs, seconds: float, extra: Mapping[str, Any]) -> None:
        """Check and write the outputs, and the note that makes the task done. extra: more fields for the note."""
        begun = self.clock()
        _check(task, outputs, self.job.graph.ports[task.node].outputs)
        read = cast("TrackedSettings", context.settings).names
        note = {**fingerprint(self.job, self.artifacts, task, read), **extra}
        digests = self.artifacts.save(task.item, task.node, outputs, note)
        seconds += self.clock() - begun
        length = self.job.items[task.item].seconds
        speed = length / seconds if length and seconds else None
        self.emit("task_finished", task=str(task), seconds=seconds, speed=speed, outputs=digests)

    def _clear(self, tasks: Iterable[TaskId]) -> None:
        """Remove what unfinished tasks left behind."""
        for task in tasks:
            self.artifacts.clear(task.item, task.node)

    # -- parts of a fused task ----------------------------------------------------------------------------------

    def _attempt_streaming(self, tasks: Sequence[TaskId], models: Sequence[Any]) -> tuple[HeadroomError | None, int]:
        """The error and the index of the task it came from."""
        self._clear(tasks)
        chain_run = None
        try:
            chain_run = self._chain_run(tasks, models)
            chain_run.execute()
            self._save_chain(tasks, chain_run)
        except (Interrupted, KeyboardInterrupt):
            self._clear(tasks)
            raise
        except Exception as error:
            self._clear(tasks)
            origin = chain_run.failed_first if chain_run else len(tasks) - 1
            return as_headroom(error, f"{tasks[origin]} failed"), origin
        return None, 0

    def _chain_run(self, tasks: Sequence[TaskId], models: Sequence[Any]) -> ChainRun:
        since, limit = self.clock(), self.job.plan.limit_bytes
        nodes, writers = [], []
        for index, (task, model) in enumerate(zip(tasks, models, strict=True)):
            node, ports = self.job.nodes[task.node], self.job.graph.ports[task.node]
            main, (first, given) = next(iter(ports.inputs)), next(iter(ports.outputs.items()))
            inputs = self.inputs.of(task, without=main if index else None)
            folder = self.artifacts.folder(task.item, task.node)
            nodes.append(ChainNode(node, model, inputs, self._context(task), main, cut_settings_for(node)))
            writers.append(OutputWriter(folder, first, given.type == "audio", self.clock))
        return ChainRun(
            nodes, writers, self.job.streaming, expected_seconds(self.job.items[tasks[0].item]),
            clock=self.clock, sleep=self.cancel.wait, since=since, promised=self._promised_factor(tasks),
            pressure=lambda: self.device.used_bytes() / limit if limit else 0.0,
        )  # fmt: skip

    def _promised_factor(self, tasks: Sequence[TaskId]) -> float | None:
        """The real-time factor that the nodes' footprints promise together."""
        job, memory = self.job, self.device.memory
        nodes = [task.node for task in tasks]
        knobs = (job.variants[node].knobs if node in job.variants else job.graph.node(node).knobs for node in nodes)
        return real_time_factor(
            zip((footprint_of(job.graph, node, job.variants, memory) for node in nodes), knobs, strict=True)
        )

    def _save_chain(self, tasks: Sequence[TaskId], chain_run: ChainRun) -> None:
        """Save every node's outputs, then emit the report."""
        rows = zip(tasks, chain_run.nodes, chain_run.writers, chain_run.seconds(), strict=True)
        for task, chain_node, writer, seconds in rows:
            # Joined by fades, it is not what the node would have made at once; whoever reads the note may want to know.
            extra = {"in_pieces": True} if chain_node.cut is not None else {}
            self._save(task, chain_node.context, writer.outputs, seconds, extra)
        self.emit("stream", task=_fused(tasks), **chain_run.report().to_dict())


def _fused(tasks: Sequence[TaskId]) -> str:
    return task_id(tasks[0].item, *(task.node for task in tasks))


def _check(task: TaskId, given: Outputs, promised: Mapping[str, Port]) -> None:
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
