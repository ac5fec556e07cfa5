"""How steps and tasks ended: what became of each task, what was measured of each step, and trouble with memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipelines.run.ladder import Trouble
from pipelines.schema.errors import HeadroomError
from pipelines.schema.plan import Step

if TYPE_CHECKING:
    from pipelines.run.job import Job


@dataclass(slots=True)
class Outcome:
    """What became of each task. failed: a task's error. skipped: the failed task it waited for."""

    done: set[str] = field(default_factory=set)
    failed: dict[str, HeadroomError] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    measured_peak_bytes: int = 0

    @property
    def dead(self) -> set[str]:
        """Tasks that failed or were skipped: they will not be done any more."""
        return self.failed.keys() | self.skipped.keys()

    @property
    def closed(self) -> set[str]:
        """Tasks about which nothing is left to do."""
        return self.done | self.dead

    def is_open(self, task: str) -> bool:
        """Whether a task is still to be done."""
        return task not in self.done and task not in self.failed and task not in self.skipped


@dataclass(slots=True)
class Observed:
    """One step as measured: bytes at its start, its highest and its end. source: what measured them.

    undisturbed: no other step ran beside it. job: the job it was a step of; later jobs of the run may use other variants.
    """

    step: Step
    start_bytes: int
    peak_bytes: int
    end_bytes: int
    seconds: float
    source: str
    undisturbed: bool
    job: Job


class MemoryTrouble(Exception):
    """Memory did not behave as planned. Raised between steps; the engine can go on from where it stands.

    task: whose step it was (of a load: the first task that wanted the model). subject: the variant or node whose bytes
    are in question; `loading` whether its weights rather than its workspace. limit_bytes: a new limit, where others
    have left less.
    """

    def __init__(
        self,
        kind: Trouble,
        task: str,
        subject: str,
        *,
        loading: bool,
        predicted: int,
        needed: int,
        limit: int | None = None,
    ) -> None:
        super().__init__(f"{task}: {kind.value}")
        self.kind, self.task, self.subject, self.loading = kind, task, subject, loading
        self.predicted_bytes, self.needed_bytes, self.limit_bytes = predicted, needed, limit

    def blaming(self, task: str) -> MemoryTrouble:
        """The same trouble, with another task to give way."""
        return MemoryTrouble(
            self.kind, task, self.subject, loading=self.loading, predicted=self.predicted_bytes,
            needed=self.needed_bytes, limit=self.limit_bytes,
        )  # fmt: skip
