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


@dataclass(frozen=True, slots=True)
class EventKind:
    """What an event of one kind says beside `event`, `at` and `seconds`.

    always: its fields. sometimes: those that are left out where they do not apply. about: their meaning where a name does
    not say it. written: whether it is a line of `events.jsonl`; others reach only who observes the run.
    """

    always: tuple[str, ...]
    sometimes: tuple[str, ...] = ()
    about: str = ""
    written: bool = True


_STEP = ("op", "predicted_peak_bytes")
_OF_STEP = ("model", "tasks", "during")
#: Every kind of event. Tests hold what runs write against it.
KINDS: dict[str, EventKind] = {
    "run_started": EventKind(
        ("schema", "items", "tasks", "steps", "limit_bytes", "context_bytes"),
        about="how many items, tasks and steps; context_bytes: what the process held before the first step",
    ),
    "step_started": EventKind(("index", *_STEP), _OF_STEP, "index: of the plan's step; the rest as in `run.json`"),
    "progress": EventKind(
        ("task", "fraction", "note"), (), "fraction: 0 to 1. Only for observers (`on_event`); never in the file", False
    ),
    "step_finished": EventKind(
        ("index", *_STEP, "measured_peak_bytes", "source", "seconds"), _OF_STEP, "as in `run.json`"
    ),
    "task_finished": EventKind(
        ("task", "seconds", "speed", "outputs"),
        about="speed: seconds of input for a second of work, null where there is no length; outputs: SHA-256 by file",
    ),
    "task_failed": EventKind(("task", "error"), about="task: of input that cannot be read, the item"),
    "task_skipped": EventKind(("task", "because"), about="because: the failed task that it needed"),
    "warning": EventKind(("text",), ("task",)),
    "rung": EventKind(
        ("rung", "because"), ("task",),
        "a remedy tried: `free`, `retry`, `replan`, `smaller`, `variant`, `cpu`, `stop`; `back`: placed as at first again",
    ),
    "replan": EventKind(
        ("remaining", "steps", "limit_bytes", "peak_bytes"), about="remaining: tasks of the new plan, `plan-2.json` or later"
    ),
    "sample": EventKind(
        ("used_bytes", "free_bytes"), ("utilisation", "temperature", "power_watts", "throttled", "cpu_percent"),
        "throttled: true where the card slows itself down; cpu_percent: of one core",
    ),
    "alert": EventKind(
        ("what", "text"), about="what: `limit`, `drift`, `leak`, `temperature`, `throttling`, `monitor`"
    ),
    "stream": EventKind(
        (
            "task", "audio_seconds", "chunks", "first_audio_seconds", "prebuffer_seconds", "real_time_factor", "gaps",
            "gap_seconds", "avoidable_gaps", "utilisation", "utilisation_range", "paced", "in_range", "busy_seconds",
            "rested_seconds", "notes",
        ),
        about="how its sound reached a listener; first_audio_seconds: null where no sound was made",
    ),
    "run_finished": EventKind(("status", "exit_code", "measured_peak_bytes"), about="not written where an error ends the run"),
}  # fmt: skip

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
