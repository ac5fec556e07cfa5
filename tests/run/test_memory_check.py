"""A step has one predicted peak, the same for explanations, events and records; and what a step took is held against it."""

from dataclasses import replace

import pytest

from benchmarks.memory.harness import Bench
from pipelines.devices.simulated import SimulatedDevice
from pipelines.plan.explain.moments import predicted_peaks
from pipelines.plan.planner import plan
from pipelines.run.artifacts import Artifacts
from pipelines.run.engine import Engine
from pipelines.run.ladder import Trouble
from pipelines.run.memory_check import MemoryCheck, first_broken
from pipelines.run.outcome import MemoryTrouble, Outcome
from pipelines.run.progress import Progress
from pipelines.schema.plan import Load, Run, Unload
from pipelines.schema.units import MIB

EXTRA = 30 * MIB
SIZES = ((100 * MIB, 50 * MIB), (80 * MIB, 20 * MIB))


def prefetching():
    """A job whose second model is loaded while the first node runs, and takes more while it loads than afterwards."""
    job = Bench(SIZES, 300 * MIB).job()
    models = {
        name: replace(model, load_peak_bytes=model.weights_bytes + EXTRA, load_seconds=1.0, reload_seconds=1.0)
        for name, model in job.problem.models.items()
    }
    tasks = tuple(replace(task, seconds=1.0) for task in job.problem.tasks)
    problem = replace(job.problem, models=models, tasks=tasks)
    return replace(job, problem=problem, plan=plan(problem))


def checked(job, device=None):
    events = []
    progress = Progress(job, Outcome(), lambda kind, **data: events.append((kind, data)))
    return MemoryCheck(progress, device or SimulatedDevice(total_bytes=1024 * MIB), progress.emit, lambda: 0.0), events


def test_events_predict_what_the_plan_explains_a_prefetch_s_load_peak_included(tmp_path):
    job, events = prefetching(), []
    prefetch = next(step for step in job.plan.steps if isinstance(step, Load) and step.during)
    engine = Engine(job, SimulatedDevice(total_bytes=1024 * MIB, track=False), Artifacts(tmp_path), events.append)
    engine.execute()
    engine.unload_all()
    seen = {e.data["index"]: e.data["predicted_peak_bytes"] for e in events if e.kind == "step_started"}
    assert [seen[index] for index in sorted(seen)] == predicted_peaks(job.problem, job.plan.steps)
    assert seen[job.plan.steps.index(prefetch)] == prefetch.resident_bytes + EXTRA
    assert max(seen.values()) == job.plan.peak_bytes


def test_an_unload_is_highest_before_its_model_has_left():
    job = prefetching()
    predicted = predicted_peaks(job.problem, job.plan.steps)
    unloads = [(at, step) for at, step in enumerate(job.plan.steps) if isinstance(step, Unload)]
    assert unloads
    for at, step in unloads:
        assert predicted[at] == step.resident_bytes + job.problem.models[step.model].weights_bytes


def test_a_step_without_its_bytes_is_trouble_before_it_begins():
    job = prefetching()
    check, _ = checked(job, SimulatedDevice(total_bytes=90 * MIB))
    with pytest.raises(MemoryTrouble) as raised:
        check.require_room(0, job.plan.steps[0])
    assert raised.value.kind is Trouble.FOREIGN
    assert (raised.value.subject, raised.value.loading) == (job.plan.steps[0].model, True)
    assert raised.value.limit_bytes == 90 * MIB


def test_drift_is_trouble_only_where_a_later_step_would_pass_the_limit():
    job = prefetching()
    check, events = checked(job)
    at = next(index for index, step in enumerate(job.plan.steps) if isinstance(step, Load))
    step, predicted = job.plan.steps[at], check.predicted[at]
    assert check.judge(at, step, predicted + predicted // 50, alone=True) is None
    assert events == []
    assert check.judge(at, step, predicted + 10 * MIB, alone=False) is None
    assert events == []
    room = job.plan.limit_bytes - job.plan.peak_bytes
    assert check.judge(at, step, predicted + room, alone=True) is None
    assert "the plan still holds" in events[-1][1]["text"]
    trouble = check.judge(at, step, predicted + room + MIB, alone=True)
    assert (trouble.kind, trouble.subject, trouble.loading) == (Trouble.DRIFT, step.model, True)
    assert check.judge(at, step, predicted + room + MIB, alone=True) is None, "as many bytes again are no news"


def test_over_the_limit_is_trouble_but_after_the_last_step():
    job = prefetching()
    check, events = checked(job)
    last = len(job.plan.steps) - 1
    run = next(step for step in reversed(job.plan.steps) if isinstance(step, Run))
    assert check.judge(0, job.plan.steps[0], job.plan.limit_bytes + 1, alone=True).kind is Trouble.DRIFT
    assert check.judge(last, run, job.plan.limit_bytes + 1, alone=True) is None
    assert [data["what"] for _, data in events] == ["limit", "limit"]


def test_more_weights_count_while_the_model_is_there_and_more_workspace_in_its_own_runs():
    job = prefetching()
    predicted = predicted_peaks(job.problem, job.plan.steps)
    runs = [index for index, step in enumerate(job.plan.steps) if isinstance(step, Run)]
    over = job.plan.limit_bytes - predicted[runs[0]] + 1
    assert first_broken(job, predicted, 0, "n0", over, loading=False) == runs[0]
    assert first_broken(job, predicted, runs[0] + 1, "n0", over, loading=False) is None
    assert first_broken(job, predicted, 1, "n0", over, loading=True) is not None
    without_limit = replace(job, plan=replace(job.plan, limit_bytes=None))
    assert first_broken(without_limit, predicted, 0, "n0", over, loading=True) is None
