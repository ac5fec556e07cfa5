"""How steps and tasks end: what became of each, what was seen of memory, and any exception as one of ours."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING

from pipelines.devices.out_of_memory import is_out_of_memory
from pipelines.run.ladder import Trouble
from pipelines.schema.errors import HeadroomError, OutOfMemory, SurroundingsFailed, TaskFailed
from pipelines.schema.plan import Step

if TYPE_CHECKING:
    from pipelines.run.job import Job

#: A disk that takes no more: the run's surroundings failed, not the task.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(slots=True)
class Outcome:
    """What became of each task. `failed` maps a task to its error, `skipped` to the task it waited for."""

    done: set[str] = field(default_factory=set)
    failed: dict[str, HeadroomError] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    measured_peak_bytes: int = 0

    @property
    def dead(self) -> set[str]:
        """Tasks that will not run any more."""
        return self.failed.keys() | self.skipped.keys()


@dataclass(slots=True)
class Observed:
    """One step as it was: bytes before, at its highest and after, and whether a prefetch ran beside it.

    job: the one it was a step of; later ones may use other variants.
    """

    step: Step
    start_bytes: int
    peak_bytes: int
    end_bytes: int
    seconds: float
    source: str
    alone: bool
    job: Job


#: libsndfile's code for "the operating system refused", which is all it says of a full disk.
_SNDFILE_SYSTEM = 2


class MemoryTrouble(Exception):
    """Memory did not do as planned. Raised between steps; the engine can go on from where it stands.

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

    def of(self, task: str) -> MemoryTrouble:
        """The same trouble with another task to blame."""
        return MemoryTrouble(
            self.kind, task, self.subject, loading=self.loading, predicted=self.predicted_bytes,
            needed=self.needed_bytes, limit=self.limit_bytes,
        )  # fmt: skip


def forget_frames(error: BaseException) -> None:
    """Let go of what the frames of an error that is kept still hold: models, and tensors half-way through a run."""
    at: BaseException | None = error
    seen: set[int] = set()  # an error raised again `from` itself is its own cause
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        at.__traceback__ = None  # clearing its frames would not do: each keeps its caller
        at = at.__cause__ or at.__context__


def as_headroom(error: BaseException, what: str) -> HeadroomError:
    """Any exception as one of ours: memory trouble as `OutOfMemory`, full disks as they are, the rest as `TaskFailed`."""
    if isinstance(error, HeadroomError):
        return error
    if is_out_of_memory(error):
        return OutOfMemory(f"{what}: memory ran out ({error}).")
    if isinstance(error, OSError) and error.errno in _FULL:
        return SurroundingsFailed(
            f"{what}: {error.strerror}. Free some space, or choose another disk with outputs_dir=."
        )
    if type(error).__name__ == "LibsndfileError" and getattr(error, "code", None) == _SNDFILE_SYSTEM:
        return SurroundingsFailed(
            f"{what}: the system would not read or write a sound file. Is the disk full? Another is chosen with outputs_dir=."
        )
    told = str(error) or "it gave no reason"
    where = [f" ({Path(at.filename).name}, line {at.lineno})" for at in extract_tb(error.__traceback__)[-1:]]
    return TaskFailed(f"{what}: {type(error).__name__}: {told}{''.join(where)}")
