"""Why a problem has no plan, in numbers and sentences a program or a person can act on (`headroom/refusal/1`)."""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA = "headroom/refusal/1"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A plan that does not exist, or was not found.

    Attributes
    ----------
    reason : why, as a sentence.
    proved : true where no plan exists, false where the search budget ended first.
    task : the task that alone does not fit; None, as the next field and the last, where no single task is to blame.
    needed_bytes : bytes at the worst moment of `task`, context included.
    limit_bytes : the limit it had to fit.
    short_bytes : needed less limit.
    suggestions : what would help, as sentences.
    """

    reason: str
    proved: bool
    task: str | None
    needed_bytes: int | None
    limit_bytes: int | None
    short_bytes: int | None
    suggestions: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """The JSON object of `docs/formats.md`."""
        return {
            "schema": SCHEMA,
            "reason": self.reason,
            "proved": self.proved,
            "task": self.task,
            "needed_bytes": self.needed_bytes,
            "limit_bytes": self.limit_bytes,
            "short_bytes": self.short_bytes,
            "suggestions": list(self.suggestions),
        }
