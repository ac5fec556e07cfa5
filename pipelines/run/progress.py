"""How far a job has come: which tasks are done, failed, skipped or still open, and what one that fails takes with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pipelines.run.errors import forget_frames
from pipelines.run.job import Job
from pipelines.run.outcome import Outcome
from pipelines.schema.errors import HeadroomError, TaskFailed
from pipelines.schema.ids import TaskId, parts, task_id


@dataclass(frozen=True)
class Progress:
    """The tasks of one job and what became of them. emit: informs the observers, as `Engine.emit`."""

    job: Job
    outcome: Outcome
    emit: Callable[..., None]

    def model_of(self, task: str) -> str | None:
        """The model that a task (or a part of one) uses, None where it uses none."""
        return self.job.model_of(TaskId.parse(task).node)

    def open_parts(self, tasks: Iterable[str]) -> list[str]:
        """Those of `tasks` that are still to be done; of fused ones, those of their parts."""
        return [part for task in tasks for part in parts(task) if self.outcome.is_open(part)]

    def waiting_for(self, model: str) -> Iterator[str]:
        """The tasks that use `model` and are not done."""
        found = (part for task in self.job.problem.tasks if model in task.models for part in parts(task.id))
        return (part for part in found if self.model_of(part) == model and part not in self.outcome.done)

    def close(self, task: str, error: HeadroomError | None) -> None:
        """A task has ended, with an error or without. Raises the error where it ends the run.

        A task that failed takes along every task that waits for it; the run ends there unless the job is to keep going.
        """
        if error is None:
            self.outcome.done.add(task)
            return
        if not isinstance(error, TaskFailed):
            raise error
        self.outcome.failed[task] = error
        self.emit("task_failed", task=task, error=str(error))
        for waiting in self._successors(task):
            if waiting not in self.outcome.dead:
                self.outcome.skipped[waiting] = task
                self.emit("task_skipped", task=waiting, because=task)
        if not self.job.keep_going:
            raise error
        forget_frames(error)

    def fail_users(self, model: str, error: TaskFailed) -> None:
        """A model that cannot be loaded fails the tasks that use it, and only those."""
        for task in self.open_parts(task.id for task in self.job.problem.tasks if model in task.models):
            if self.model_of(task) == model and task not in self.outcome.dead:
                self.close(task, error)

    def _successors(self, task: str) -> list[str]:
        import networkx as nx

        failed = TaskId.parse(task)
        after = nx.descendants(self.job.graph.dag, failed.node)
        return [task_id(failed.item, name) for name in self.job.graph.order if name in after]
