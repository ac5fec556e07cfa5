"""Carries a plan out step by step: loads, runs and unloads as the plan says, measures each step, and keeps what is finished.

It decides nothing about order or residency: that is the plan's. When memory disagrees it raises `MemoryTrouble` between
two steps, with nothing half-done; what to try then is `recovery`'s.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from pipelines.devices.leaks import Return, await_return
from pipelines.devices.out_of_memory import is_out_of_memory
from pipelines.devices.protocol import Device, Reading
from pipelines.run.artifacts import Artifacts
from pipelines.run.job import Job
from pipelines.run.ladder import Trouble
from pipelines.run.outcome import MemoryTrouble, Observed, Outcome, as_headroom, forget_frames
from pipelines.run.steps import facts, first_broken, predicted_peaks, with_prefetches
from pipelines.run.tasks import Tasks
from pipelines.schema.errors import HeadroomError, Interrupted, OutOfMemory, TaskFailed
from pipelines.schema.ids import TaskId, parts, task_id
from pipelines.schema.plan import Load, Run, Step, Unload
from pipelines.schema.record import Event, Observer
from pipelines.schema.units import format_bytes

#: Steps that follow each other faster than this are not each asked for room: asking costs more than they do.
LOOK_SECONDS = 0.05
#: A peak that passes its prediction, margin included, by more than a part in so many is drift.
SLACK = 50
#: How long an unload may take to show before it is called a leak.
RETURN_SECONDS = 2.0


class Engine:
    """One run of one job on one device. `observe` hears every event; `cancel` is set from outside to stop between steps."""

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
        self.job, self.device, self.artifacts = job, device, artifacts
        self.outcome = Outcome()
        self.cancel = cancel or threading.Event()
        self._observe, self._clock, self._origin = observe, clock, clock()
        self._speaking = threading.Lock()
        self._resident: dict[str, Any] = {}
        self._drift: MemoryTrouble | None = None
        #: Called before each step; it may raise what `carry_on` then raises.
        self.between: Callable[[], None] = lambda: None
        self.observed: list[Observed] = []
        self.returns: list[Return] = []
        self._held: dict[str, int] = {}
        self._looked, self._room = 0.0, 0
        self.take(job)
        self._lane: ThreadPoolExecutor | None = None

    def take(self, job: Job) -> None:
        """Go on with a new job for what is left. Nothing may be resident."""
        assert not self._resident
        self.job, self._at = job, 0
        self._tasks = Tasks(job, self.device, self.artifacts, self.emit, self.cancel, self._clock)
        self._predicted = predicted_peaks(job, job.plan)
        #: By subject: the most bytes over its plan that were looked into; as many again are no news.
        self._known_drift: dict[tuple[str, bool], int] = {}
        self._taking = {task.id: task.workspace_bytes + task.output_bytes for task in job.problem.tasks}

    def carry_on(self) -> Outcome:
        """Every step of the job's plan from where it stands. Raises what stops the run: `Interrupted`, `SurroundingsFailed`,
        without `keep_going` the first `TaskFailed`; and `MemoryTrouble`, after which it can be called again."""
        steps, self._looked = self.job.plan.steps, -math.inf  # what was seen before trouble was not there
        while self._at < len(steps):
            group = with_prefetches(steps, self._at)
            index = self._at
            self.between()
            self._look_for_room(group[-1], index + len(group) - 1)
            self._drift = None
            self._step(index, group)
            self._at += len(group)
            if self._drift is not None:
                raise self._drift
        return self.outcome

    def unload_all(self) -> None:
        """Give back every resident model, in any state."""
        for model in list(self._resident):
            self._unload(model)
        if self._lane is not None:
            self._lane.shutdown()
            self._lane = None

    def emit(self, kind: str, **data: Any) -> None:
        """Tell the observers."""
        with self._speaking:
            self._observe(Event(kind, self._clock() - self._origin, data))

    # -- one step ---------------------------------------------------------------------------------------------

    def _step(self, index: int, group: Sequence[Step]) -> None:
        self._stop_if_cancelled()
        last = index + len(group) - 1
        loads = [(at, load) for at, load in enumerate(group[:-1], index) if not self._is_moot(at, load)]
        if self._is_moot(last, group[-1]):
            for at, load in loads:  # a prefetch beside a run that is done already is a plain load
                self._measured(at, load, True)
            return
        waiting = [self._in_lane(self._measured, at, load, False) for at, load in loads]
        try:
            self._measured(last, group[-1], not waiting)
        finally:
            errors = [future.exception() for future in waiting]
        for error in errors:
            if error is not None:
                raise error

    def _measured(self, index: int, step: Step, alone: bool) -> None:
        """Do one step while the device watches. The thread it runs in is the step's lane."""
        name, predicted = facts(step), self._predicted[index]
        self.emit("step_started", index=index, **name, predicted_peak_bytes=predicted)
        begun = self._clock()
        reading = Reading()
        try:
            with self.device.watch(self._declared(step)) as reading:
                made = self._do(step)
            if isinstance(step, Load):
                self.device.loaded(step.model, self.job.problem.models[step.model].weights_bytes, made)
        except Exception as error:
            if is_out_of_memory(error) or isinstance(error, OutOfMemory):
                if not isinstance(step, Run):
                    self._drop(step.model)
                if isinstance(step, Unload):
                    return None
                raise self._trouble(
                    Trouble.OUT_OF_MEMORY, step, index, max(reading.peak_bytes, predicted + predicted // 20)
                ) from error
            if isinstance(step, Load) and isinstance(error, TaskFailed):
                return self._give_up_on(step.model, error)
            raise
        return self._note(index, step, reading, self._clock() - begun, alone)

    def _give_up_on(self, model: str, error: TaskFailed) -> None:
        """A model that cannot be loaded fails the tasks that want it, and only those."""
        self._drop(model)
        for name in self._left(task.id for task in self.job.problem.tasks if model in task.models):
            if self._model_of(name) == model and name not in self.outcome.dead:
                self._settle(name, error)

    def _note(self, index: int, step: Step, reading: Reading, seconds: float, alone: bool) -> None:
        """Write a finished step down, and whether it passed the limit."""
        predicted, limit = self._predicted[index], self.job.plan.limit_bytes
        self.outcome.measured_peak_bytes = max(self.outcome.measured_peak_bytes, reading.peak_bytes)
        seen = Observed(
            step, reading.start_bytes, reading.peak_bytes, reading.end_bytes, seconds, reading.source, alone, self.job
        )
        self.observed.append(seen)
        if isinstance(step, Load):
            # What a library keeps from its first use on is context, not this model's: no more than its planned weights are its own.
            planned = self.job.problem.models[step.model].weights_bytes
            self._held[step.model] = min(max(0, reading.end_bytes - reading.start_bytes), planned)
        self.emit(
            "step_finished", index=index, **facts(step), predicted_peak_bytes=predicted,
            measured_peak_bytes=reading.peak_bytes, source=reading.source, seconds=seconds,
        )  # fmt: skip
        if isinstance(step, Unload):
            return
        if limit is not None and reading.peak_bytes > limit:
            self.emit(
                "alert", what="limit", text=f"{format_bytes(reading.peak_bytes - limit)} over the limit in this step"
            )
            if index < len(self.job.plan.steps) - 1:
                self._drift = self._trouble(Trouble.DRIFT, step, index, reading.peak_bytes)
        elif alone and reading.peak_bytes > predicted + predicted // SLACK:
            self._drift = self._drifted(index, step, reading.peak_bytes)

    def _drifted(self, index: int, step: Load | Run, peak: int) -> MemoryTrouble | None:
        """More than planned, its margin included, and still within the limit: trouble where a later step would break it."""
        trouble, more = self._trouble(Trouble.DRIFT, step, index, peak), peak - self._predicted[index]
        known = (trouble.subject, loading := isinstance(step, Load))
        if more <= self._known_drift.get(known, 0):
            return None
        self._known_drift[known] = more
        broken = first_broken(self.job, self._predicted, index + 1, trouble.subject, more, loading=loading)
        then = "the plan still holds" if broken is None else "a later step would pass the limit"
        self.emit("alert", what="drift", text=f"{trouble.subject} took {format_bytes(more)} more than planned; {then}.")
        return None if broken is None else trouble

    def _trouble(self, kind: Trouble, step: Step, index: int, needed: int, limit: int | None = None) -> MemoryTrouble:
        loading = isinstance(step, Load)
        if isinstance(step, Run):
            left = self._left(step.tasks) or parts(step.tasks[0])
            # Of a chain it is not known which node's bytes they were; one that has a variant can be answered for.
            task = next((name for name in left if self._model_of(name)), left[0])
            subject = self.job.subject_of(task)
        else:
            subject = step.model
            task = next(self._waiting_for(step.model), subject)
        return MemoryTrouble(
            kind, task, subject, loading=loading, predicted=self._predicted[index], needed=needed, limit=limit
        )

    def wanted_beside(self, task: str) -> list[str]:
        """The next task of each model that lies beside `task`'s own, or is to be fetched while it runs, the largest first."""
        own, found = self._model_of(task), []
        coming = [step.model for step in with_prefetches(self.job.plan.steps, self._at) if isinstance(step, Load)]
        beside = {*self._resident, *coming}
        for model in sorted(beside, key=lambda name: (-self.job.problem.models[name].weights_bytes, name)):
            if model != own and (waiting := next(self._waiting_for(model), None)):
                found.append(waiting)
        return found

    def _look_for_room(self, step: Step, index: int) -> None:
        """Before a step that takes memory: are the bytes the plan wants still there, whatever others have done?"""
        now, wanted = self._clock(), self._predicted[index]
        fresh = now - self._looked < LOOK_SECONDS and wanted <= self._room
        if isinstance(step, Unload) or fresh:
            return
        used, free = self.device.used_bytes(), self.device.free_bytes()
        self._looked, self._room = now, used + free
        if wanted > self._room:
            raise self._trouble(Trouble.FOREIGN, step, index, wanted, limit=self._room)

    def _declared(self, step: Step) -> int:
        """Bytes the plan allows a step above what is held when it begins."""
        if isinstance(step, Load):
            return self.job.problem.models[step.model].load_peak_bytes
        if isinstance(step, Unload):
            return 0
        return sum(self._taking[task] for task in step.tasks)

    def _do(self, step: Step) -> Any:
        if isinstance(step, Load):
            return self._load(step.model)
        if isinstance(step, Unload):
            return self._unload(step.model)
        return self._run(step)

    def _is_moot(self, index: int, step: Step) -> bool:
        """Whether failures before have left a step nothing to do."""
        if isinstance(step, Load):
            return step.model in self._resident or not self._used_before_unload(index, step.model)
        if isinstance(step, Unload):
            return step.model not in self._resident
        return not self._left(step.tasks)

    def _used_before_unload(self, index: int, model: str) -> bool:
        for step in self.job.plan.steps[index + 1 :]:
            if isinstance(step, Unload) and step.model == model:
                return False
            if isinstance(step, Run) and any(
                t not in self.outcome.dead and self._model_of(t) == model for name in step.tasks for t in parts(name)
            ):
                return True
        return False

    # -- models -----------------------------------------------------------------------------------------------

    def _load(self, model: str) -> Any:
        try:
            made = self._resident[model] = self.job.loader(model).load(self.job.places[model])
        except Exception as error:
            raise as_headroom(error, f"{model} could not be loaded") from error
        return made

    def _drop(self, model: str) -> None:
        """Let go of a model whose loading did not come to an end."""
        if model in self._resident:
            self._unload(model)

    def _in_lane(self, work: Callable[..., None], *arguments: Any) -> Future[None]:
        if self._lane is None:
            self._lane = ThreadPoolExecutor(1, thread_name_prefix="load-lane")
        return self._lane.submit(work, *arguments)

    def _unload(self, model: str) -> None:
        """Let go of a model whatever its node says; what its unload raises is told and does not end the run."""
        loaded = self._resident.pop(model, None)
        used = self.device.used_bytes()
        try:
            self.job.loader(model).unload(loaded)
        except Exception as error:
            self.emit("warning", text=f"{model}: its unload failed ({type(error).__name__}: {error}); it was dropped.")
        del loaded
        self.device.unloaded(model)
        self._after_unload(model, used)

    def _after_unload(self, model: str, used_before: int) -> None:
        """The barrier's post-condition: what the load took has left the device, or the model is named."""
        held = self._held.pop(model, 0)
        if (
            not held or sys.exc_info()[1] is not None
        ):  # the frames of what went wrong still hold it: nothing can be said
            self.device.reclaim()
            return
        returned = await_return(self.device, model, held, used_before, within_seconds=RETURN_SECONDS)
        if not returned.clean:
            self.returns.append(returned)
            self.emit("alert", what="leak", text=returned.sentence)

    def _model(self, task: str) -> Any:
        """What `load` returned for the task's model, None for a task without one."""
        return self._resident.get(self._model_of(task) or "")

    def _model_of(self, task: str) -> str | None:
        return self.job.model_of(TaskId.parse(task).node)

    # -- tasks ------------------------------------------------------------------------------------------------

    def _run(self, step: Run) -> None:
        together = [left for task in step.tasks if (left := self._left([task]))]
        with ThreadPoolExecutor(max(1, len(together) - 1), thread_name_prefix="stream") as pool:
            others = [pool.submit(self._attempt, tasks) for tasks in together[1:]]
            ended = self._attempt(together[0]) if together else {}
            for future in others:
                ended |= future.result()
        for task, error in sorted(ended.items(), key=lambda pair: pair[1] is not None):
            self._settle(task, error)

    def _attempt(self, tasks: list[str]) -> dict[str, HeadroomError | None]:
        return self._tasks.attempt_chain(tasks, [self._model(task) for task in tasks])

    def _left(self, tasks: Iterable[str]) -> list[str]:
        """Those of the tasks, each of a chain by itself, that are neither done nor given up."""
        done, dead = self.outcome.done, self.outcome.dead
        return [one for task in tasks for one in parts(task) if one not in done and one not in dead]

    def _waiting_for(self, model: str) -> Iterator[str]:
        """The tasks that are not done and want `model`."""
        found = (name for task in self.job.problem.tasks if model in task.models for name in parts(task.id))
        return (name for name in found if self._model_of(name) == model and name not in self.outcome.done)

    def _settle(self, task: str, error: HeadroomError | None) -> None:
        if error is None:
            self.outcome.done.add(task)
            return
        if not isinstance(error, TaskFailed):
            raise error
        self.outcome.failed[task] = error
        self.emit("task_failed", task=task, error=str(error))
        for waiting in (name for name in self._successors(task) if name not in self.outcome.dead):
            self.outcome.skipped[waiting] = task
            self.emit("task_skipped", task=waiting, because=task)
        if not self.job.keep_going:
            raise error
        forget_frames(error)

    def _successors(self, task: str) -> list[str]:
        import networkx as nx

        failed = TaskId.parse(task)
        after = nx.descendants(self.job.graph.dag, failed.node)
        return [task_id(failed.item, name) for name in self.job.graph.order if name in after]

    def _stop_if_cancelled(self) -> None:
        if self.cancel.is_set():
            raise Interrupted("Stopped before the next step, as asked.")
