"""Any exception of a step as one of ours, with a message for people; and errors kept without what their frames hold."""

from __future__ import annotations

import errno
from pathlib import Path
from traceback import extract_tb

from pipelines.devices.out_of_memory import is_out_of_memory
from pipelines.schema.errors import HeadroomError, OutOfMemory, SurroundingsFailed, TaskFailed

#: A disk that takes no more: the run's surroundings failed, not the task.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
#: libsndfile's code for "the operating system refused", which is all it says of a full disk.
_SNDFILE_SYSTEM = 2


def forget_frames(error: BaseException) -> None:
    """Free what the frames of a kept error still refer to: models, and tensors of a run that broke off."""
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
    reason = str(error) or "it gave no reason"
    where = [f" ({Path(at.filename).name}, line {at.lineno})" for at in extract_tb(error.__traceback__)[-1:]]
    return TaskFailed(f"{what}: {type(error).__name__}: {reason}{''.join(where)}")
