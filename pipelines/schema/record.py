"""What a run leaves behind: `run.json` (`headroom/run/1`) and the events it is made from (`headroom/event/1`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

SCHEMA = "headroom/run/1"
EVENT_SCHEMA = "headroom/event/1"
STATUSES = ("running", "ok", "failed", "interrupted")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, at `seconds` since the run began. `kind` is one of the names in `KINDS`."""

    kind: str
    seconds: float
    data: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """One line of `events.jsonl`. `at` is when it was; `seconds` repeats it, unless the event has a length of its own by that name."""
        at = round(self.seconds, 6)
        return {"event": self.kind, "at": at, "seconds": at, **self.data}


#: Every kind of event and what its data holds.
KINDS: dict[str, str] = {
    "run_started": "schema, items, tasks, steps, limit_bytes",
    "step_started": "index, op, model | tasks, predicted_peak_bytes",
    "progress": "task, fraction, note",
    "step_finished": "index, op, model | tasks, predicted_peak_bytes, measured_peak_bytes, source, seconds",
    "task_finished": "task, seconds, speed (x real time), outputs",
    "task_failed": "task (of input that cannot be read: the item), error",
    "task_skipped": "task, because",
    "warning": "text, task?",
    "rung": "a remedy tried: rung, because, task?",
    "replan": "remaining, limit_bytes, peak_bytes",
    "sample": "used_bytes, free_bytes, utilisation?, temperature?, power_watts?, cpu_percent?",
    "alert": "text, what",
    "stream": "task, how its sound reached a listener: audio_seconds, first_audio_seconds, gaps, gap_seconds, utilisation, ...",
    "run_finished": "status, exit_code, measured_peak_bytes",
}

Observer = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step as carried out. Peaks in bytes; `source` says how the measured one was taken; `seconds` of wall time."""

    op: str
    model: str | None = None
    tasks: tuple[str, ...] = ()
    predicted_peak_bytes: int | None = None
    measured_peak_bytes: int | None = None
    source: str = ""
    seconds: float = 0.0
    during: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON object inside `run.json`'s `steps`, without the fields that do not apply."""
        keep = {"op", "predicted_peak_bytes", "measured_peak_bytes", "seconds"}
        return {key: value for key, value in asdict(self).items() if key in keep or value not in (None, (), "")}
