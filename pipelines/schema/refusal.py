"""Why a problem has no plan, in facts a person or a program can act on (`headroom/refusal/1`)."""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA = "headroom/refusal/1"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A plan that does not exist, or was not found.

    `needed_bytes` is the whole need at the worst moment of `task` (context included), `short_bytes` how far it passes
    the limit. `proved` is true where no plan can exist, false where the search budget ended first; the three are None
    where no single task is to blame. `reason` and `suggestions` are sentences.
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
