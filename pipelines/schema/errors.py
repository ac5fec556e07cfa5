"""What can go wrong, an exception class for each exit code above 0. Raised anywhere; the command line ends with the code.

The table for users is in docs/command-line.md. Records and workers hand the codes on as they are.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.schema.refusal import Refusal


class ExitCode(IntEnum):
    """The process exit codes users may rely on; a sweep exits with the highest of its jobs."""

    OK = 0
    TASK_FAILED = 1
    USAGE = 2
    INVALID = 3
    DOES_NOT_FIT = 4
    OUT_OF_MEMORY = 5
    SURROUNDINGS = 6
    DIFFERS = 7
    INTERRUPTED = 130
    TERMINATED = 143


class HeadroomError(Exception):
    """A failure with a sentence for the person at the prompt: what is wrong, where, and the next thing to do."""

    exit_code: ExitCode = ExitCode.TASK_FAILED


class TaskFailed(HeadroomError):
    """One task could not do its work; unreadable input is the commonest reason."""

    exit_code = ExitCode.TASK_FAILED


class UsageError(HeadroomError):
    """The command line or the YAML says something that cannot be: an unknown name, a value out of range."""

    exit_code = ExitCode.USAGE


class InvalidError(HeadroomError):
    """A graph, a problem file or a plan file is not well formed, or a plan is not a plan of its problem."""

    exit_code = ExitCode.INVALID


class DoesNotFit(HeadroomError):
    """No plan exists (or none was found) under the limit. Carries the facts as a `Refusal`."""

    exit_code = ExitCode.DOES_NOT_FIT

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal

    def __reduce__(self) -> tuple[type[DoesNotFit], tuple[Refusal]]:
        return (DoesNotFit, (self.refusal,))


class OutOfMemory(HeadroomError):
    """Memory ran out, or the limit was passed, and the whole ladder of remedies did not help."""

    exit_code = ExitCode.OUT_OF_MEMORY


class SurroundingsFailed(HeadroomError):
    """The machine did not do its part: disk full, no permission, a worker that cannot start."""

    exit_code = ExitCode.SURROUNDINGS


class Differs(HeadroomError):
    """Files that were compared with their recorded digests are not the same: `headroom weights verify`."""

    exit_code = ExitCode.DIFFERS


class Interrupted(HeadroomError):
    """The user (Ctrl-C) or the system (SIGTERM) asked the run to stop."""

    exit_code = ExitCode.INTERRUPTED


class Terminated(Interrupted):
    """SIGTERM rather than Ctrl-C."""

    exit_code = ExitCode.TERMINATED


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A tail for "unknown X" sentences: the nearest valid names, then all of them while they are few.

    >>> did_you_mean("modst", ["modest", "high_end"])
    "Did you mean 'modest'? Known: high_end, modest."
    """
    names = sorted(known)
    if not names:
        return "None are defined."
    shown = ", ".join(names) if len(names) <= 24 else ", ".join(names[:24]) + f" and {len(names) - 24} more"
    return f"{nearest(name, names)} Known: {shown}.".lstrip()


def nearest(name: str, known: Iterable[str]) -> str:
    """The valid names that `name` was probably meant to be, as a question; `""` where none is near."""
    names = sorted(known)
    near = [known for known in names if known.endswith(f"/{name}")] or difflib.get_close_matches(name, names, n=2)
    return f"Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
