"""Compares a run's memory with its plan: is there room for the next step, and did the last one take what was predicted?

It measures nothing itself and changes nothing: findings are alerts for people and `MemoryTrouble` for `recovery`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from pipelines.devices.protocol import Device
from pipelines.plan.explain.moments import predicted_peaks
from pipelines.run.job import Job
from pipelines.run.ladder import Trouble
from pipelines.run.outcome import MemoryTrouble
from pipelines.run.progress import Progress
from pipelines.schema.ids import parts
from pipelines.schema.plan import Load, Run, Step, Unload
from pipelines.schema.units import format_bytes

#: Steps that follow each other faster than this share one look at the device: looking costs more than they do.
LOOK_SECONDS = 0.05
#: A peak is drift when it passes its prediction, margin included, by more than one part in this many.
SLACK = 50


class MemoryCheck:
    """One job's predictions, held against what the device says. emit: informs the observers, as `Engine.emit`."""

    def __init__(
        self, progress: Progress, device: Device, emit: Callable[..., None], clock: Callable[[], float]
    ) -> None:
        self._job, self._progress = progress.job, progress
        self._device, self._emit, self._clock = device, emit, clock
        self.predicted = predicted_peaks(self._job.problem, self._job.plan.steps)
        #: By subject and whether it was loading: the most bytes above its plan that were looked into already.
        self._known_drift: dict[tuple[str, bool], int] = {}
        self.look_again()

    def look_again(self) -> None:
        """Forget how much room there was: the next step asks the device."""
        self._looked, self._room = -math.inf, 0

    def require_room(self, index: int, step: Step) -> None:
        """Before a step that takes memory: raise trouble if the bytes it was planned with are no longer there."""
        now, wanted = self._clock(), self.predicted[index]
        fresh = now - self._looked < LOOK_SECONDS and wanted <= self._room
        if isinstance(step, Unload) or fresh:
            return
        self._looked, self._room = now, self._device.used_bytes() + self._device.free_bytes()
        if wanted > self._room:
            raise self.trouble(Trouble.FOREIGN, index, step, wanted, limit=self._room)

    def judge(self, index: int, step: Load | Run, peak: int, *, undisturbed: bool) -> MemoryTrouble | None:
        """After a step with a measured `peak`: trouble if it passed the limit, or if a later step will.

        undisturbed: no other step ran beside it, so that the bytes are its own.
        """
        predicted, limit = self.predicted[index], self._job.plan.limit_bytes
        if limit is not None and peak > limit:
            self._emit("alert", what="limit", text=f"{format_bytes(peak - limit)} over the limit in this step")
            is_last = index == len(self._job.plan.steps) - 1
            return None if is_last else self.trouble(Trouble.DRIFT, index, step, peak)
        if undisturbed and peak > predicted + predicted // SLACK:
            return self._drifted(index, step, peak)
        return None

    def _drifted(self, index: int, step: Load | Run, peak: int) -> MemoryTrouble | None:
        """More than predicted and still within the limit: trouble if that much more would break a later step."""
        trouble, more = self.trouble(Trouble.DRIFT, index, step, peak), peak - self.predicted[index]
        known = (trouble.subject, trouble.loading)
        if more <= self._known_drift.get(known, 0):
            return None
        self._known_drift[known] = more
        broken = first_broken(self._job, self.predicted, index + 1, trouble.subject, more, loading=trouble.loading)
        then = "the plan still holds" if broken is None else "a later step would pass the limit"
        self._emit(
            "alert", what="drift", text=f"{trouble.subject} took {format_bytes(more)} more than planned; {then}."
        )
        return None if broken is None else trouble

    def trouble(self, kind: Trouble, index: int, step: Step, needed: int, limit: int | None = None) -> MemoryTrouble:
        """Trouble with a step that needs `needed` bytes, with the task and the variant that are to answer for it."""
        progress = self._progress
        if isinstance(step, Run):
            left = progress.open_parts(step.tasks) or parts(step.tasks[0])
            # Of a fused task it is not known which part took the bytes; one that has a variant can be changed.
            task = next((part for part in left if progress.model_of(part)), left[0])
            subject = self._job.subject_of(task)
        else:
            subject = step.model
            task = next(progress.waiting_for(step.model), subject)
        return MemoryTrouble(
            kind, task, subject, loading=isinstance(step, Load), predicted=self.predicted[index], needed=needed,
            limit=limit,
        )  # fmt: skip


def first_broken(job: Job, predicted: Sequence[int], at: int, subject: str, more: int, *, loading: bool) -> int | None:
    """The first step from `at` on that passes the limit if `subject` (a variant, or a node without one) takes `more` bytes
    than planned: of its weights (loading) in every step while it is resident, else in its own runs."""
    limit, held = job.plan.limit_bytes, loading
    if limit is None:
        return None
    for index, step in enumerate(job.plan.steps[at:], at):
        if not isinstance(step, Run):
            held = held if step.model != subject else loading and isinstance(step, Load)
        if isinstance(step, Unload) or predicted[index] + more <= limit:
            continue
        if held or (isinstance(step, Run) and subject in _subjects(job, step)):
            return index
    return None


def _subjects(job: Job, step: Run) -> set[str]:
    return {job.subject_of(part) for task in step.tasks for part in parts(task)}
