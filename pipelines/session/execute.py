"""One run of a prepared job to its end: plan written, steps done, what was seen kept, record closed. Draws nothing."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.devices.limits import capped
from pipelines.files import sha256_of, write_atomic
from pipelines.graph.draw import mermaid
from pipelines.plan.check import certified
from pipelines.run.artifacts import Artifacts
from pipelines.run.engine import Engine
from pipelines.run.imports import import_libraries, libraries_of
from pipelines.run.job import Job
from pipelines.run.monitor import Monitor
from pipelines.run.outcome import Outcome
from pipelines.run.recorder import Recorder, cannot_write, surroundings
from pipelines.run.recovery import Recovery, rung_lines
from pipelines.run.resume import check_earlier_results
from pipelines.run.tasks import outputs_of
from pipelines.run.trace import write_drawings
from pipelines.schema.errors import SurroundingsFailed
from pipelines.schema.ids import TaskId
from pipelines.schema.plan import Plan
from pipelines.schema.record import EVENT_SCHEMA, Event
from pipelines.session.choice import plan_for, problem_left
from pipelines.session.learn import learn_footprints, learn_leaks
from pipelines.session.prepare import Prepared
from pipelines.session.replan import SessionReplanner
from pipelines.session.result import RunResult
from pipelines.session.watcher import Watcher


def first_fields(prepared: Prepared, job: Job, command: Sequence[str]) -> dict[str, Any]:
    """What `run.json` says of a run before its first step. command: what was typed, or stands for it."""
    inventory = prepared.inventory
    settings, device = inventory.settings, inventory.device
    return {
        "command": list(command),
        "cwd": str(Path.cwd()),
        "pipeline": settings.pipeline.name,
        "tier": settings.tier.name,
        "device": {"kind": device.kind, "name": device.name, "total_bytes": device.total_bytes},
        "limit_bytes": job.problem.limit_bytes,
        "seed": job.seed,
        "variants": {
            node: {
                "name": v.name,
                "licence": v.licence,
                "knobs": dict(v.knobs),
                "weights_sha256": job.digests[v.name] or None,
            }
            for node, v in job.variants.items()
        },
        "inputs": {
            item.name: {"path": item.path, "sha256": job.inputs.get(item.path)} for item in inventory.items if item.path
        },
        "notes": list(prepared.notes),
        "footprints": {"store": inventory.observations.digest(), "frozen": inventory.frozen},
        "pid": os.getpid(),
        **surroundings(),
    }


def execute_run(
    prepared: Prepared, whole: Job, record: Recorder, done: set[str], watcher: Watcher, cancel: threading.Event
) -> RunResult:
    """Plan and do what of `whole` is not `done`. Raises what stops the run; the caller closes the record then."""
    artifacts = Artifacts(record.folder / "artifacts")
    inventory, choice = prepared.inventory, prepared.choice
    check_earlier_results(inventory.graph, [item.name for item in inventory.items], artifacts)
    problem = problem_left(choice, inventory.settings.tier, done)
    job = replace(whole, problem=problem, plan=certified(problem, plan_for(inventory.settings.tier, problem)))
    _write_plan(record, job)
    watcher.planned(prepared, job.plan, len(done))
    outcome = _execute(prepared, job, record, artifacts, watcher, cancel)
    outcome.failed = {**inventory.unreadable, **outcome.failed}
    result = _result(prepared, record, job.plan, outcome, artifacts, done)
    _close(record, watcher, result)
    return result


def finished_result(prepared: Prepared, folder: Path, done: Set[str]) -> RunResult:
    """The result of a run of which an earlier one has done everything."""
    outputs = outputs_of(Artifacts(folder / "artifacts"), sorted(done))
    return RunResult(folder, "ok", _paths(folder, outputs), _finals(prepared, folder, outputs))


def _execute(
    prepared: Prepared, job: Job, record: Recorder, artifacts: Artifacts, watcher: Watcher, cancel: threading.Event
) -> Outcome:
    plan, events, inventory, device = job.plan, list[Event](), prepared.inventory, prepared.device

    def observe(event: Event) -> None:
        events.append(event)
        record(event)
        watcher(event)

    engine = Engine(job, device, artifacts, observe, cancel=cancel)
    recovery = Recovery(
        engine, SessionReplanner(prepared), inventory.mode, on_plan=lambda new: _write_plan(record, new, anew=True)
    )
    device.assume_context(job.problem.context_bytes)
    if device.computes_on_host:
        import_libraries(libraries_of(job, "host"))
    engine.emit("run_started", schema=EVENT_SCHEMA, items=len(job.items), tasks=len(job.problem.tasks),
                steps=len(plan.steps), limit_bytes=plan.limit_bytes, context_bytes=device.used_bytes())  # fmt: skip
    for item, error in inventory.unreadable.items():
        engine.emit("task_failed", task=item, error=str(error))
    try:
        with capped(device, plan.limit_bytes), Monitor(device, engine.emit, plan.limit_bytes):
            outcome = recovery.execute()
        with _for_later(engine):
            learn_footprints(inventory, device, engine.observed, outcome.failed)
    finally:
        settings = inventory.settings
        write_drawings(
            record.folder, events, plan.limit_bytes, settings.pipeline.name, picture=settings.options.memory_plot
        )
        record.update(**_failures(events), rungs=rung_lines(recovery.tried), stream=streams_of(events))
        with _for_later(engine):
            learn_leaks(engine.returns)  # of a run that failed, too: a leak may be why
    return outcome


@contextmanager
def _for_later(engine: Engine) -> Iterator[None]:
    """What later plans would learn of this run is kept; where it cannot be, the run has still ended as it did."""
    try:
        yield
    except (OSError, SurroundingsFailed) as error:
        engine.emit("warning", text=f"What this run showed is not kept for later plans: {error}")


def _failures(events: Iterable[Event]) -> dict[str, Any]:
    """Which tasks failed and which were skipped because of them: said also of a run that an error ends."""
    known = list(events)
    return {
        "failed": {event.data["task"]: event.data["error"] for event in known if event.kind == "task_failed"},
        "skipped": {event.data["task"]: event.data["because"] for event in known if event.kind == "task_skipped"},
    }


def _write_plan(record: Recorder, job: Job, *, anew: bool = False) -> None:
    """The problem, its plan and the graph; those of a run planned anew are numbered after the first."""
    labels = {node: variant.name for node, variant in job.variants.items()}
    count = len(list(record.folder.glob("plan*.json"))) if anew else 0
    tail = f"-{count + 1}" if count else ""
    try:
        write_atomic(record.folder / f"problem{tail}.json", job.problem.to_json())
        write_atomic(record.folder / f"plan{tail}.json", job.plan.to_json())
        write_atomic(record.folder / "graph.mmd", mermaid(job.graph, labels))
    except OSError as error:
        raise cannot_write(record.folder, error) from error


def _result(
    prepared: Prepared, record: Recorder, plan: Plan, outcome: Outcome, artifacts: Artifacts, before: Set[str]
) -> RunResult:
    outputs = outputs_of(artifacts, sorted(outcome.done | before))
    return RunResult(
        folder=record.folder,
        status="failed" if outcome.failed else "ok",
        artifacts=_paths(record.folder, outputs),
        finals=_finals(prepared, record.folder, outputs),
        peak_bytes=outcome.measured_peak_bytes,
        plan=plan,
        seconds=record.elapsed(),
        failed={task: str(error) for task, error in outcome.failed.items()},
        skipped=dict(outcome.skipped),
        streams=record.fields.get("stream") or {},
    )


def _close(record: Recorder, watcher: Watcher, result: RunResult) -> None:
    """The last event, and the record's end."""
    fields = {"status": result.status, "exit_code": int(result.exit_code), "measured_peak_bytes": result.peak_bytes}
    event, root = Event("run_finished", record.elapsed(), fields), result.folder / "artifacts"
    record(event)
    watcher(event)
    record.close(
        result.status, result.exit_code, measured_peak_bytes=result.peak_bytes,
        predicted_peak_bytes=result.plan.peak_bytes if result.plan else None,
        artifacts={file.relative_to(root).as_posix(): sha256_of(file) for files in result.artifacts.values() for file in files},
        failed=dict(result.failed), skipped=dict(result.skipped),
    )  # fmt: skip


def _paths(folder: Path, outputs: Mapping[str, Sequence[str]]) -> dict[str, tuple[Path, ...]]:
    return {task: tuple(folder / "artifacts" / name for name in names) for task, names in outputs.items()}


def _finals(prepared: Prepared, folder: Path, outputs: Mapping[str, Sequence[str]]) -> tuple[Path, ...]:
    """What the nodes made that no other waits for, by item and node, songs before their sound."""
    graph = prepared.inventory.graph
    ends = set(graph.order) - {before for before, _ in graph.edges}
    found = [name for task, names in outputs.items() if TaskId.parse(task).node in ends for name in names]
    by_item = sorted(found, key=lambda name: (name.rpartition("/")[0], not name.endswith(".txt"), name))
    return tuple(folder / "artifacts" / name for name in by_item)


def streams_of(events: Iterable[Event]) -> dict[str, dict[str, Any]]:
    """The playback report of each chain, by its task, as `run.json` has it."""
    reports = (dict(event.data) for event in events if event.kind == "stream")
    return {report.pop("task"): report for report in reports}
