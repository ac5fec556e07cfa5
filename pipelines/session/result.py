"""How a run ended, as data for whoever started it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.schema.errors import ExitCode
from pipelines.schema.plan import Plan


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Attributes
    ----------
    folder : the run's folder, with `run.json` in it.
    status : `ok`, or `failed` where tasks failed and others went on (`keep_going`).
    artifacts : the files of each finished task, by task id.
    finals : those of the nodes that no other waits for: what a person came for.
    peak_bytes : the measured peak on the device; None where nothing was left to do.
    plan : of what was left to do, None where nothing was.
    failed : by task (of unreadable input: by item), the sentence. skipped: by task, the one it waited for.
    streams : by task of a chain, how its sound reached a listener.
    """

    folder: Path
    status: str
    artifacts: Mapping[str, tuple[Path, ...]]
    finals: tuple[Path, ...] = ()
    peak_bytes: int | None = None
    plan: Plan | None = None
    seconds: float = 0.0
    failed: Mapping[str, str] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    streams: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def exit_code(self) -> ExitCode:
        """What the command line ends with."""
        return ExitCode.OK if self.status == "ok" else ExitCode.TASK_FAILED
