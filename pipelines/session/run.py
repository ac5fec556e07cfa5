"""One run in its own folder, from the composed config to a closed record, whatever happens."""

from __future__ import annotations

import shlex
import shutil
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipelines.config.compose import Composed, Composer, write_resolved
from pipelines.config.settings import read_settings
from pipelines.devices.torch_environment import set_torch_variables
from pipelines.run.artifacts import Artifacts
from pipelines.run.recorder import Recorder, cannot_write
from pipelines.run.resume import all_tasks, finished_tasks
from pipelines.schema.errors import (
    DoesNotFit,
    ExitCode,
    HeadroomError,
    Interrupted,
    InvalidError,
    OutOfMemory,
    SurroundingsFailed,
    TaskFailed,
    UsageError,
)
from pipelines.session.earlier import read_record
from pipelines.session.execute import execute_run, finished_result, first_fields
from pipelines.session.fetching import with_fetched
from pipelines.session.job import make_job
from pipelines.session.pipeline_part import EVERYTHING, Selection
from pipelines.session.prepare import prepare
from pipelines.session.result import RunResult
from pipelines.session.watcher import Watcher


@dataclass(frozen=True)
class RunRequest:
    """How to run, beside the config.

    Attributes
    ----------
    keep_going : when a task fails, do all that does not need it.
    frozen : plan with measured footprints as they are and add none.
    resume : the folder of an earlier run that this one continues. force: its finished tasks are done again.
    command : what the record says was typed.
    """

    selection: Selection = EVERYTHING
    keep_going: bool = False
    frozen: bool = False
    resume: Path | None = None
    force: bool = False
    command: Sequence[str] = ()


def run_composed(composer: Composer, request: RunRequest, watcher: Watcher, cancel: threading.Event) -> RunResult:
    """Compose, make the run's folder, run in it. cancel: set from outside to stop before the next step.

    Raises any `HeadroomError`; the record, where one was begun, is closed first.
    """
    try:
        result: RunResult = composer.run(lambda composed: _run(composed, request, watcher, cancel))
    except OSError as error:
        folder = composer.folder
        if folder is not None:
            _remove_if_fresh(folder)
        raise SurroundingsFailed(
            f"The run folder {folder or ''} cannot be made ({error.strerror or error}). Choose another with outputs_dir=FOLDER."
        ) from None
    return result


def _run(composed: Composed, request: RunRequest, watcher: Watcher, cancel: threading.Event) -> RunResult:
    assert composed.folder is not None
    record = Recorder(composed.folder)
    try:
        return _planned_run(composed, request, record, watcher, cancel)
    except (UsageError, InvalidError):
        if not record.is_open:
            _remove_if_fresh(composed.folder)
        raise
    except OSError as error:
        raise cannot_write(composed.folder, error) from error
    except (Interrupted, KeyboardInterrupt) as error:
        kind = type(error) if isinstance(error, Interrupted) else Interrupted
        raise kind(f"Stopped. {_again(composed.folder, request)}") from error
    except (TaskFailed, OutOfMemory):
        if record.is_open and any(composed.folder.glob("artifacts/*/*/done.json")):
            watcher.say(_again(composed.folder, request))
        raise
    finally:
        _close_with(record, sys.exc_info()[1])


def _planned_run(
    composed: Composed, request: RunRequest, record: Recorder, watcher: Watcher, cancel: threading.Event
) -> RunResult:
    settings = read_settings(composed)
    set_torch_variables(settings.tier.allocator)
    try:
        prepared = prepare(settings, request.selection, keep_going=request.keep_going, frozen=request.frozen)
        prepared = with_fetched(prepared, watcher)
    except (DoesNotFit, TaskFailed, SurroundingsFailed):
        if request.resume is None:  # else what its record says of it still holds
            fields = {"pipeline": settings.pipeline.name, "tier": settings.tier.name}
            record.open({**fields, "command": list(request.command)[1:]})
        raise
    whole = make_job(prepared.inventory, prepared.choice, prepared.device, keep_going=request.keep_going)
    done = set[str]() if request.force else finished_tasks(whole, Artifacts(record.folder / "artifacts"))
    ended_well = request.resume is not None and read_record(request.resume).get("status") == "ok"
    if ended_well and len(done) == len(all_tasks(prepared.choice.problem)):
        return finished_result(prepared, record.folder, done)
    record.open(first_fields(prepared, whole, request.command))
    write_resolved(record.folder, settings.resolved)
    return execute_run(prepared, whole, record, done, watcher, cancel)


def _again(folder: Path, request: RunRequest) -> str:
    """How to go on with what a run has finished."""
    trust = [part for package in request.selection.trust for part in ("--trust", package)]
    command = shlex.join(["headroom", "run", "--resume", str(folder), *trust])
    return f"What is finished is kept: {command}"


def _close_with(record: Recorder, error: BaseException | None) -> None:
    """The record's last words for an exception on its way out; nothing where the run ended by itself."""
    if error is None or not record.is_open:
        return
    interrupted = isinstance(error, (Interrupted, KeyboardInterrupt))
    code = error.exit_code if isinstance(error, HeadroomError) else ExitCode.TASK_FAILED
    code = ExitCode.INTERRUPTED if isinstance(error, KeyboardInterrupt) else code
    with suppress(OSError, ValueError):
        record.log("".join(traceback.format_exception(error)))
    fields = {"refusal": error.refusal.to_dict()} if isinstance(error, DoesNotFit) else {}
    record.close("interrupted" if interrupted else "failed", code, error=str(error) or type(error).__name__, **fields)


def _remove_if_fresh(folder: Path) -> None:
    """A run that never began leaves nothing: its folder goes if it holds only Hydra's copy of the config."""
    with suppress(OSError):
        if {entry.name for entry in folder.iterdir()} <= {".hydra"}:
            shutil.rmtree(folder)
            for parent in list(folder.parents)[:2]:
                parent.rmdir()
