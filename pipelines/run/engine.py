"""Executes a plan step by step: loads, runs and unloads as the plan says, while the device measures each step.

It decides nothing about order or residency: the plan does. When memory does not behave as planned it raises `MemoryTrouble`
between two steps, with nothing half-done; what to try then is for `recovery` to decide.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from pipelines.devices.leaks import Return
from pipelines.devices.out_of_memory import is_out_of_memory
from pipelines.devices.protocol import Device, Reading
from pipelines.run.artifacts import Artifacts
from pipelines.run.job import Job
from pipelines.run.ladder import Trouble
from pipelines.run.memory_check import MemoryCheck
from pipelines.run.outcome import MemoryTrouble, Observed, Outcome
from pipelines.run.progress import Progress
from pipelines.run.resident_models import ResidentModels
from pipelines.run.task_inputs import TaskInputs
from pipelines.run.tasks import TaskRunner
from pipelines.schema.errors import HeadroomError, Interrupted, OutOfMemory, TaskFailed
from pipelines.schema.ids import parts
from pipelines.schema.plan import Load, Run, Step, Unload
from pipelines.schema.record import Event, Observer


class Engine:
    """One run of one job on one device.

    observe: called with every event, from one thread at a time. cancel: set it from outside to stop between two steps.
    """

    def __init__(
        self,
        job: Job,
        device: Device,
        artifacts: Artifacts,
        observe: Observer,
        *,
        cancel: threading.Event | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.device, self.artifacts = device, artifacts
        self.outcome = Outcome()
        self.observed: list[Observed] = []
        self.cancel = cancel or threading.Event()
        #: Called before each step; what it raises, `execute` raises.
        self.before_step: Callable[[], None] = lambda: None
        self._observe, self._clock, self._origin = observe, clock, clock()
        self._observing = threading.Lock()
        self._models = ResidentModels(device, self.emit)
        self._lane: ThreadPoolExecutor | None = None
        self._trouble: MemoryTrouble | None = None
        self.adopt(job)

    def adopt(self, job: Job) -> None:
        """Go on with a new job for what is left. Nothing may be loaded."""
        assert not list(self._models)
        self.job, self._at = job, 0
        self._progress = Progress(job, self.outcome, self.emit)
        self._memory = MemoryCheck(self._progress, self.device, self.emit, self._clock)
        inputs = TaskInputs(job, self.artifacts, self.emit)
        self._tasks = TaskRunner(job, self.device, self.artifacts, inputs, self.emit, self.cancel, self._clock)
        self._task_bytes = {task.id: task.workspace_bytes + task.output_bytes for task in job.problem.tasks}

    def execute(self) -> Outcome:
        """Every step of the job's plan, from where it stands.

        Raises `MemoryTrouble`, after which it can be called again; and what ends the run: `Interrupted`,
        `SurroundingsFailed`, and the first `TaskFailed` unless the job is to keep going.
        """
        steps = self.job.plan.steps
        self._memory.look_again()  # after trouble, what was seen before it no longer holds
        while self._at < len(steps):
            group = with_prefetches(steps, self._at)
            self.before_step()
            self._memory.require_room(self._at + len(group) - 1, group[-1])
            self._trouble = None
            self._execute_group(self._at, group)
            self._at += len(group)
            if self._trouble is not None:
                raise self._trouble
        return self.outcome

    def unload_all(self) -> None:
        """Let go of every model, in whatever state the run is."""
        for model in self._models:
            self._models.unload(self.job, model)
        if self._lane is not None:
            self._lane.shutdown()
            self._lane = None

    def emit(self, kind: str, **data: Any) -> None:
        """Inform the observers."""
        with self._observing:
            self._observe(Event(kind, self._clock() - self._origin, data))

    @property
    def returns(self) -> list[Return]:
        """The unloads that did not give their memory back."""
        return self._models.returns

    def next_tasks_of_others(self, task: str) -> list[str]:
        """The next task of every other model that is loaded, or that is prefetched in this step, the largest model first."""
        coming = [step.model for step in with_prefetches(self.job.plan.steps, self._at) if isinstance(step, Load)]
        others = {*self._models, *coming} - {self._progress.model_of(task)}
        weights = self.job.problem.models
        largest_first = sorted(others, key=lambda model: (-weights[model].weights_bytes, model))
        users = [next(self._progress.waiting_for(model), None) for model in largest_first]
        return [user for user in users if user is not None]

    # -- steps --------------------------------------------------------------------------------------------------

    def _execute_group(self, first: int, group: Sequence[Step]) -> None:
        """One step, with the prefetches that load beside it in a lane of their own."""
        if self.cancel.is_set():
            raise Interrupted("Stopped before the next step, as asked.")
        last, step = first + len(group) - 1, group[-1]
        loads = [(index, load) for index, load in enumerate(group[:-1], first) if not self._is_needless(index, load)]
        if self._is_needless(last, step):
            for index, load in loads:  # beside nothing, a prefetch is a plain load
                self._measure(index, load, undisturbed=True)
            return
        waiting = [self._in_lane(index, load) for index, load in loads]
        try:
            self._measure(last, step, undisturbed=not waiting)
        finally:
            errors = [future.exception() for future in waiting]
        for error in errors:
            if error is not None:
                raise error

    def _in_lane(self, index: int, load: Step) -> Future[None]:
        if self._lane is None:
            self._lane = ThreadPoolExecutor(1, thread_name_prefix="load-lane")
        return self._lane.submit(self._measure, index, load, undisturbed=False)

    def _is_needless(self, index: int, step: Step) -> bool:
        """Whether a step has nothing to do, because tasks failed or models were unloaded after trouble."""
        if isinstance(step, Load):
            return step.model in self._models or not self._used_before_unload(index, step.model)
        if isinstance(step, Unload):
            return step.model not in self._models
        return not self._progress.open_parts(step.tasks)

    def _used_before_unload(self, index: int, model: str) -> bool:
        for step in self.job.plan.steps[index + 1 :]:
            if isinstance(step, Unload) and step.model == model:
                return False
            if isinstance(step, Run) and any(
                part not in self.outcome.dead and self._progress.model_of(part) == model
                for task in step.tasks
                for part in parts(task)
            ):
                return True
        return False

    def _measure(self, index: int, step: Step, *, undisturbed: bool) -> None:
        """Do one step while the device watches. undisturbed: no other step is done beside it."""
        predicted = self._memory.predicted[index]
        self.emit("step_started", index=index, **step_fields(step), predicted_peak_bytes=predicted)
        begun, reading = self._clock(), Reading()
        try:
            with self.device.watch(self._planned_growth(step)) as reading:
                made = self._do(step)
            if isinstance(step, Load):
                self.device.loaded(step.model, self.job.problem.models[step.model].weights_bytes, made)
        except Exception as error:
            self._failed(index, step, max(reading.peak_bytes, predicted + predicted // 20), error)
            return
        self._finished(index, step, reading, self._clock() - begun, undisturbed)

    def _planned_growth(self, step: Step) -> int:
        """Bytes that the plan allows a step above what the device holds when it begins."""
        if isinstance(step, Load):
            return self.job.problem.models[step.model].load_peak_bytes
        if isinstance(step, Unload):
            return 0
        return sum(self._task_bytes[task] for task in step.tasks)

    def _do(self, step: Step) -> Any:
        if isinstance(step, Load):
            return self._models.load(self.job, step.model)
        if isinstance(step, Unload):
            return self._models.unload(self.job, step.model)
        return self._run(step)

    def _run(self, step: Run) -> None:
        """The tasks of a run, several at once where the plan has them so."""
        chains = [left for task in step.tasks if (left := self._progress.open_parts([task]))]
        with ThreadPoolExecutor(max(1, len(chains) - 1), thread_name_prefix="parallel-task") as pool:
            others = [pool.submit(self._attempt, chain) for chain in chains[1:]]
            ended = self._attempt(chains[0]) if chains else {}
            for future in others:
                ended |= future.result()
        for task, error in sorted(ended.items(), key=lambda pair: pair[1] is not None):
            self._progress.close(task, error)

    def _attempt(self, tasks: list[str]) -> dict[str, HeadroomError | None]:
        models = [self._models.get(self._progress.model_of(task)) for task in tasks]
        return self._tasks.attempt(tasks, models)

    # -- how a step ended ---------------------------------------------------------------------------------------

    def _failed(self, index: int, step: Step, needed: int, error: Exception) -> None:
        """Called while `error` is handled: memory that ran out is trouble, a failed load fails its tasks, the rest is raised."""
        out_of_memory = is_out_of_memory(error) or isinstance(error, OutOfMemory)
        if isinstance(step, Load) and (out_of_memory or isinstance(error, TaskFailed)):
            self._models.unload(self.job, step.model)  # it may be half-way loaded
        if isinstance(step, Unload) and out_of_memory:
            return
        if out_of_memory:
            raise self._memory.trouble(Trouble.OUT_OF_MEMORY, index, step, needed) from error
        if isinstance(step, Load) and isinstance(error, TaskFailed):
            self._progress.fail_users(step.model, error)
            return
        raise error

    def _finished(self, index: int, step: Step, reading: Reading, seconds: float, undisturbed: bool) -> None:
        """Record a step, and compare what it took with the plan."""
        self.outcome.measured_peak_bytes = max(self.outcome.measured_peak_bytes, reading.peak_bytes)
        self.observed.append(
            Observed(
                step,
                reading.start_bytes,
                reading.peak_bytes,
                reading.end_bytes,
                seconds,
                reading.source,
                undisturbed,
                self.job,
            )
        )
        if isinstance(step, Load):
            self._models.measured(self.job, step.model, reading.end_bytes - reading.start_bytes)
        self.emit(
            "step_finished", index=index, **step_fields(step), predicted_peak_bytes=self._memory.predicted[index],
            measured_peak_bytes=reading.peak_bytes, source=reading.source, seconds=seconds,
        )  # fmt: skip
        if not isinstance(step, Unload):
            trouble = self._memory.judge(index, step, reading.peak_bytes, undisturbed=undisturbed)
            self._trouble = trouble or self._trouble


def with_prefetches(steps: Sequence[Step], index: int) -> Sequence[Step]:
    """The prefetches from `index` on and the step that they load beside; without prefetches, the step alone."""
    end = index
    while end < len(steps) - 1:
        step = steps[end]
        if not (isinstance(step, Load) and step.during is not None):
            break
        end += 1
    return steps[index : end + 1]


def step_fields(step: Step) -> Mapping[str, Any]:
    """The fields of an event that name its step."""
    if isinstance(step, Run):
        return {"op": "run", "tasks": step.tasks}
    during = {"during": step.during} if isinstance(step, Load) and step.during else {}
    return {"op": step.op, "model": step.model, **during}
