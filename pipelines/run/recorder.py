"""Records a run while it happens: `events.jsonl` line by line, `run.log`, and `run.json` at the start and at the end."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pipelines
from pipelines.files import file_lock, write_atomic
from pipelines.libraries import installed_versions
from pipelines.schema.errors import ExitCode, SurroundingsFailed
from pipelines.schema.record import KINDS, SCHEMA, Event, StepRecord


@dataclass
class Recorder:
    """The files of one run. It is an observer: call it with each event. fields: what `run.json` says beside the steps."""

    folder: Path
    fields: dict[str, Any] = field(default_factory=dict)
    steps: list[StepRecord] = field(default_factory=list)
    started: float = field(default_factory=time.time)
    begun: float = field(default_factory=time.monotonic)  # `started` is for people; that clock may be changed
    is_open: bool = False

    def open(self, fields: Mapping[str, Any]) -> None:
        """Make the folder, and a `run.json` with the status running. Raises `SurroundingsFailed` where nothing can be written,
        or another run is still writing."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._claim()
            self._events = (self.folder / "events.jsonl").open("a", encoding="utf-8", buffering=1)
            self._log = (self.folder / "run.log").open("a", encoding="utf-8", buffering=1)
            self.is_open = True
            self.update(**fields)
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def update(self, **fields: Any) -> None:
        """Add fields and rewrite `run.json`, status running."""
        self.fields.update(fields)
        self._write({"status": "running", "exit_code": None})

    def __call__(self, event: Event) -> None:
        """Write an event whose kind is written; the finished steps are also kept for `run.json`."""
        if event.kind == "step_finished":
            known = StepRecord.__dataclass_fields__
            self.steps.append(StepRecord(**{key: value for key, value in event.data.items() if key in known}))
        if KINDS[event.kind].written:
            self._line(event)

    def log(self, line: str) -> None:
        """A line a person saw, or a traceback they did not, into `run.log`."""
        self._log.write(f"{time.strftime('%H:%M:%S')} {line}\n")

    def close(self, status: str, code: ExitCode, **fields: Any) -> None:
        """The end: final `run.json`. Never raises, so that a full disk cannot hide what happened before it."""
        self.fields.update(fields)
        self.is_open = False
        try:
            with self._events, self._log:
                self._write({"status": status, "exit_code": int(code), "seconds": round(self.elapsed(), 3)})
        except OSError as error:
            sys.stderr.write(f"The record in {self.folder} could not be finished: {error}\n")
        finally:
            self._lock.release()

    def elapsed(self) -> float:
        """Seconds since the record was made."""
        return time.monotonic() - self.begun

    def _line(self, event: Event) -> None:
        try:
            self._events.write(json.dumps(event.to_dict(), ensure_ascii=False) + "\n")
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def _claim(self) -> None:
        """Have the run folder for ourselves, until the record is closed or this process ends, in whatever way."""
        self._lock = file_lock(self.folder / ".lock", wait=False)
        try:
            self._lock.acquire()
        except TimeoutError:
            raise SurroundingsFailed(
                f"{self.folder} belongs to a run that is still going. Wait until it ends, or stop it first."
            ) from None
        except OSError:
            return  # a folder that takes no files, of which opening the record tells; or a file system without locks

    def _write(self, state: Mapping[str, Any]) -> None:
        body = {"schema": SCHEMA, **state, "started": _stamp(self.started), **self.fields,
                "steps": [step.to_dict() for step in self.steps]}  # fmt: skip
        write_atomic(self.folder / "run.json", json.dumps(body, indent=1, ensure_ascii=False) + "\n")


def cannot_write(folder: Path, error: OSError) -> SurroundingsFailed:
    """The error for a folder in which no files can be written."""
    return SurroundingsFailed(
        f"{folder} cannot be written ({error.strerror or error}). Choose another with outputs_dir=FOLDER."
    )


def surroundings() -> dict[str, Any]:
    """Versions, machine and source revision: what must be the same for a result to be the same."""
    return {
        "headroom": pipelines.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "versions": installed_versions(),
        "git_revision": git_revision(),
    }


def git_revision() -> str | None:
    """The checkout's commit, with `+changes` where files differ from it; None outside a checkout."""
    root = Path(pipelines.__file__).parent.parent
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changes = _git(root, "status", "--porcelain", "-uno")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+changes" if changes else "")


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=5, check=True)
    return done.stdout.strip()


def _stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(seconds))
