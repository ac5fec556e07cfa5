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
from tests.run.clock import FakeClock

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
    assert check.judge(at, step, predicted + predicted // 50, undisturbed=True) is None
    assert events == []
    assert check.judge(at, step, predicted + 10 * MIB, undisturbed=False) is None
    assert events == []
    room = job.plan.limit_bytes - job.plan.peak_bytes
    assert check.judge(at, step, predicted + room, undisturbed=True) is None
    assert "the plan still holds" in events[-1][1]["text"]
    trouble = check.judge(at, step, predicted + room + MIB, undisturbed=True)
    assert (trouble.kind, trouble.subject, trouble.loading) == (Trouble.DRIFT, step.model, True)
    assert check.judge(at, step, predicted + room + MIB, undisturbed=True) is None, "as many bytes again are no news"


def test_over_the_limit_is_trouble_but_after_the_last_step():
    job = prefetching()
    check, events = checked(job)
    last = len(job.plan.steps) - 1
    run = next(step for step in reversed(job.plan.steps) if isinstance(step, Run))
    assert check.judge(0, job.plan.steps[0], job.plan.limit_bytes + 1, undisturbed=True).kind is Trouble.DRIFT
    assert check.judge(last, run, job.plan.limit_bytes + 1, undisturbed=True) is None
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


class Looked(SimulatedDevice):
    """Counts how often it is asked what is free."""

    looks = 0

    def free_bytes(self):
        self.looks += 1
        return super().free_bytes()


def test_steps_in_quick_succession_share_one_look_unless_one_needs_more():
    job, clock = prefetching(), FakeClock()
    device = Looked(total_bytes=1024 * MIB)
    progress = Progress(job, Outcome(), lambda kind, **data: None)
    check = MemoryCheck(progress, device, progress.emit, clock)
    step = job.plan.steps[0]

    def looks(index=0):
        before = device.looks
        check.require_room(index, step)
        return device.looks - before

    assert [looks(), looks()] == [1, 0]
    clock.now += 0.049
    assert looks() == 0
    clock.now += 0.001
    assert [looks(), looks()] == [1, 0]
    check.look_again()
    assert looks() == 1
    check._room = check.predicted[0]
    assert looks() == 0  # just enough
    check._room -= 1
    assert looks() == 1
    unload = next(each for each in job.plan.steps if isinstance(each, Unload))
    check.look_again()
    check.require_room(job.plan.steps.index(unload), unload)
    assert device.looks == 4


def test_what_is_used_already_is_room_and_just_enough_will_do():
    job = prefetching()
    predicted = predicted_peaks(job.problem, job.plan.steps)[0]
    for total, enough in ((predicted, True), (predicted - 1, False)):
        device = SimulatedDevice(total_bytes=total, track=False)
        device.loaded("something of ours", 10 * MIB)
        check, _ = checked(job, device)
        if enough:
            check.require_room(0, job.plan.steps[0])
        else:
            with pytest.raises(MemoryTrouble):
                check.require_room(0, job.plan.steps[0])


def test_a_peak_at_the_limit_is_under_it_and_a_fiftieth_more_than_planned_is_no_drift():
    job = prefetching()
    check, events = checked(job)
    step, predicted, limit = job.plan.steps[0], check.predicted[0], job.plan.limit_bytes
    assert check.judge(0, step, predicted + predicted // 50, undisturbed=True) is None
    assert events == []
    check.judge(0, step, predicted + predicted // 50 + 1, undisturbed=True)
    assert [data["what"] for _, data in events] == ["drift"]
    assert check.judge(0, step, limit, undisturbed=False) is None
    assert len(events) == 1
    trouble = check.judge(0, step, limit + 1, undisturbed=False)
    assert trouble.needed_bytes == limit + 1
    assert events[-1] == ("alert", {"what": "limit", "text": "1 B over the limit in this step"})
    without = replace(job, plan=replace(job.plan, limit_bytes=None))
    check, events = checked(without)
    assert check.judge(0, step, 10 * limit, undisturbed=False) is None
    assert events == []


def test_trouble_is_answered_for_by_the_part_that_has_a_model():
    job = prefetching()
    check, _ = checked(job)
    run = Run(("i0/n0+n1",), 0)
    assert check.trouble(Trouble.OUT_OF_MEMORY, 0, run, 5).task == "i0/n0"
    only_second = replace(job, variants={"n1": job.variants["n1"]})
    check, _ = checked(only_second)
    found = check.trouble(Trouble.OUT_OF_MEMORY, 0, run, 5, limit=9)
    assert (found.task, found.subject, found.loading) == ("i0/n1", "n1", False)
    assert (found.needed_bytes, found.limit_bytes, found.predicted_bytes) == (5, 9, check.predicted[0])
    check._progress.outcome.done.add("i0/n1")
    assert check.trouble(Trouble.OUT_OF_MEMORY, 0, run, 5).task == "i0/n0"  # the one that is still open
    none = replace(job, variants={})
    check, _ = checked(none)
    assert (check.trouble(Trouble.DRIFT, 0, run, 5).task, check.trouble(Trouble.DRIFT, 0, run, 5).subject) == (
        "i0/n0",
        "n0",
    )


def test_trouble_with_a_load_is_that_of_the_first_who_waits_for_it():
    job = prefetching()
    check, _ = checked(job)
    assert check.trouble(Trouble.DRIFT, 0, Load("n1", 0), 5).task == "i0/n1"
    check._progress.outcome.done.add("i0/n1")
    found = check.trouble(Trouble.DRIFT, 0, Load("n1", 0), 5)
    assert (found.task, found.subject, found.loading) == ("n1", "n1", True)
    assert not check.trouble(Trouble.DRIFT, 0, Unload("n1", 0), 5).loading


def test_more_weights_count_from_the_next_load_to_the_unload():
    job = prefetching()
    steps = (
        Run(("i0/n1",), 0),
        Load("n0", 0),
        Run(("i0/n1",), 0),
        Unload("n0", 0),
        Run(("i0/n1",), 0),
        Run(("i0/n0",), 0),
    )
    job = replace(job, plan=replace(job.plan, steps=steps, limit_bytes=100))
    predicted = [90, 10, 90, 200, 90, 10]
    found = [first_broken(job, predicted, at, "n0", 11, loading=True) for at in range(6)]
    assert found == [0, 2, 2, None, 4, None]
    assert first_broken(job, predicted, 0, "n0", 10, loading=True) is None  # at the limit
    assert [first_broken(job, predicted, at, "n0", 91, loading=False) for at in (0, 4)] == [5, 5]
    assert first_broken(job, predicted, 3, "n0", 11, loading=True) is None


def test_drift_is_trouble_where_only_the_very_next_step_would_pass_the_limit():
    job = Bench(SIZES, 300 * MIB, items=2).job()
    tasks = tuple(replace(task, workspace_bytes=70 * MIB) if task.id == "i1/n0" else task for task in job.problem.tasks)
    steps = (Load("n0", 0), Run(("i0/n0",), 0), Run(("i1/n0",), 0), Unload("n0", 0))
    problem = replace(job.problem, tasks=tasks)
    job = replace(job, problem=problem, plan=replace(job.plan, steps=steps))
    check, events = checked(job)
    ordinary, largest = check.predicted[1:3]
    assert largest - ordinary == 20 * MIB
    job = replace(job, plan=replace(job.plan, limit_bytes=largest + 4 * MIB))
    check, events = checked(job)
    assert check.judge(1, steps[1], ordinary + 4 * MIB, undisturbed=True) is None
    assert "the plan still holds" in events[-1][1]["text"]
    trouble = check.judge(1, steps[1], ordinary + 5 * MIB, undisturbed=True)
    assert (trouble.kind, trouble.task, trouble.needed_bytes) == (Trouble.DRIFT, "i0/n0", ordinary + 5 * MIB)
