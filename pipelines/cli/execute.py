"""One run from a prepared job to its end: plan written and shown, steps carried out, record closed, summary printed."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from pipelines.cli.screen.live import Live
from pipelines.cli.screen.show import console, show_plan
from pipelines.cli.screen.summary import name_finals, summarise
from pipelines.devices.limits import capped
from pipelines.files import sha256_of, write_atomic
from pipelines.graph.draw import mermaid
from pipelines.plan.check import certified
from pipelines.run.artifacts import Artifacts
from pipelines.run.engine import Engine
from pipelines.run.instruments import draw, libraries_of, warm_up
from pipelines.run.job import Job
from pipelines.run.monitor import Monitor
from pipelines.run.outcome import Outcome
from pipelines.run.record import Record, cannot_write, surroundings
from pipelines.run.recovery import Recovery, rung_lines
from pipelines.run.resume import all_tasks, check_earlier_results
from pipelines.run.tasks import outputs_of
from pipelines.schema.errors import ExitCode, SurroundingsFailed, Terminated
from pipelines.schema.plan import Plan
from pipelines.schema.record import EVENT_SCHEMA, Event
from pipelines.session.choice import plan_for, problem_left
from pipelines.session.learn import learn_footprints, learn_leaks
from pipelines.session.prepare import Prepared
from pipelines.session.replan import Replanner


def facts_of(prepared: Prepared, job: Job) -> dict[str, Any]:
    """What `run.json` says of a run before its first step."""
    inventory = prepared.inventory
    settings, device = inventory.settings, inventory.device
    return {
        "command": ["headroom", *sys.argv[1:]],
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
            for node, v in job.choice.items()
        },
        "inputs": {
            item.name: {"path": item.path, "sha256": job.inputs.get(item.path)} for item in inventory.items if item.path
        },
        "notes": list(prepared.notes),
        "footprints": {"store": inventory.observations.digest(), "frozen": inventory.frozen},
        "pid": os.getpid(),
        **surroundings(),
    }


def name_finished(prepared: Prepared, folder: Path, done: Set[str]) -> None:
    """Say that an earlier run in `folder` left nothing to do, and what it made."""
    out = console()
    out.print(
        f"{len(done)} of {len(done)} tasks are finished already: nothing is left to do. (--force does them again.)"
    )
    name_finals(out, folder, outputs_of(Artifacts(folder / "artifacts"), sorted(done)), _ends(prepared))


def carry(prepared: Prepared, whole: Job, record: Record, done: set[str]) -> ExitCode:
    """Plan, show, run, summarise what of `whole` is not `done`. Raises what stops the run; the caller closes the record then."""
    out = console()
    artifacts = Artifacts(record.folder / "artifacts")
    inventory, choice = prepared.inventory, prepared.choice
    check_earlier_results(inventory.graph, [item.name for item in inventory.items], artifacts)
    problem = problem_left(choice, inventory.settings.tier, done)
    plan = certified(problem, plan_for(inventory.settings.tier, problem))
    job = replace(whole, problem=problem, plan=plan)
    _write_plan(record, job)
    if done:
        out.print(f"{len(done)} of {len(all_tasks(choice.problem))} tasks are finished already and are kept.")
    show_plan(out, prepared, plan)
    out.print()
    outcome = _carried_out(prepared, job, record, artifacts, out)
    outcome.failed = {**inventory.unreadable, **outcome.failed}
    return _finish(record, out, plan, outcome, artifacts, done, _ends(prepared))


def _ends(prepared: Prepared) -> set[str]:
    """The nodes that no other waits for: what they make is what a person came for."""
    graph = prepared.inventory.graph
    return set(graph.order) - {before for before, _ in graph.edges}


def _carried_out(prepared: Prepared, job: Job, record: Record, artifacts: Artifacts, out: Console) -> Outcome:
    plan, events, inventory = job.plan, list[Event](), prepared.inventory
    with _stoppable() as cancel, Live(out, len(plan.steps), plan.limit_bytes) as live:

        def observe(event: Event) -> None:
            events.append(event)
            record(event)
            live(event)

        engine = Engine(job, prepared.device, artifacts, observe, cancel=cancel)
        recovery = Recovery(
            engine, Replanner(prepared), inventory.mode, on_plan=lambda new: _write_plan(record, new, anew=True)
        )
        prepared.device.assume_context(job.problem.context_bytes)
        if prepared.device.computes_on_host:
            warm_up(libraries_of(job, "host"))
        engine.emit("run_started", schema=EVENT_SCHEMA, items=len(job.items), tasks=len(job.problem.tasks),
                    steps=len(plan.steps), limit_bytes=plan.limit_bytes, context_bytes=prepared.device.used_bytes())  # fmt: skip
        for item, error in inventory.unreadable.items():
            engine.emit("task_failed", task=item, error=str(error))
        try:
            with capped(prepared.device, plan.limit_bytes), Monitor(prepared.device, engine.emit, plan.limit_bytes):
                outcome = recovery.execute()
            with _for_later(engine):
                learn_footprints(inventory, prepared.device, engine.observed, outcome.failed)
        finally:
            draw(record.folder, events, plan.limit_bytes, inventory.settings.pipeline.name,
                 picture=inventory.settings.options.memory_plot)  # fmt: skip
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


def _write_plan(record: Record, job: Job, *, anew: bool = False) -> None:
    """The problem, its plan and the graph; those of a run planned anew are numbered after the first."""
    labels = {node: variant.name for node, variant in job.choice.items()}
    count = len(list(record.folder.glob("plan*.json"))) if anew else 0
    tail = f"-{count + 1}" if count else ""
    try:
        write_atomic(record.folder / f"problem{tail}.json", job.problem.to_json())
        write_atomic(record.folder / f"plan{tail}.json", job.plan.to_json())
        write_atomic(record.folder / "graph.mmd", mermaid(job.graph, labels))
    except OSError as error:
        raise cannot_write(record.folder, error) from error


def _finish(
    record: Record,
    out: Console,
    plan: Plan,
    outcome: Outcome,
    artifacts: Artifacts,
    before: Set[str],
    ends: Set[str],
) -> ExitCode:
    failed = bool(outcome.failed)
    code = ExitCode.TASK_FAILED if failed else ExitCode.OK
    outputs = outputs_of(artifacts, sorted(outcome.done | before))
    record(Event("run_finished", record.elapsed(), {"status": "failed" if failed else "ok", "exit_code": int(code),
                                                    "measured_peak_bytes": outcome.measured_peak_bytes}))  # fmt: skip
    record.close(
        "failed" if failed else "ok", code,
        predicted_peak_bytes=plan.peak_bytes, measured_peak_bytes=outcome.measured_peak_bytes,
        artifacts={name: sha256_of(artifacts.root / name) for names in outputs.values() for name in names},
        failed={task: str(error) for task, error in outcome.failed.items()}, skipped=dict(outcome.skipped),
    )  # fmt: skip
    summarise(out, record, plan, outcome, outputs, ends)
    return code


def streams_of(events: Iterable[Event]) -> dict[str, dict[str, Any]]:
    """How each chain sounded, by its task, as `run.json` has it."""
    heard = (dict(event.data) for event in events if event.kind == "stream")
    return {facts.pop("task"): facts for facts in heard}


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM stop the run at the next safe place; the record then says interrupted."""
    cancel = threading.Event()

    def on_term(number: int, frame: object) -> None:
        cancel.set()
        raise Terminated("Stopped by SIGTERM. Finished tasks are kept; continue with --resume RUN_DIR.")

    def on_int(number: int, frame: object) -> None:
        cancel.set()
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGTERM, on_term)
    signal.signal(signal.SIGINT, on_int)
    try:
        yield cancel
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
