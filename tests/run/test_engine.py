"""What the engine does with a plan's steps: each at its turn, what is not needed left out, and every end told."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.memory.harness import Bench
from pipelines.devices.protocol import Reading
from pipelines.devices.simulated import SimulatedDevice
from pipelines.run.artifacts import Artifacts
from pipelines.run.engine import Engine, step_fields, with_prefetches
from pipelines.run.job import Job
from pipelines.run.ladder import Trouble
from pipelines.run.outcome import MemoryTrouble
from pipelines.schema.errors import Interrupted, SurroundingsFailed, TaskFailed
from pipelines.schema.plan import Load, Run, Step, Unload
from pipelines.schema.units import MIB

SIZES = ((80 * MIB, 5 * MIB), (40 * MIB, 3 * MIB))
R0, R1 = Run(("i0/n0",), 0), Run(("i0/n1",), 0)
L0, L1, U0, U1 = Load("n0", 0), Load("n1", 0), Unload("n0", 0), Unload("n1", 0)
P1 = Load("n1", 0, during="i0/n0")


class Bed:
    """An engine over two nodes, what happened, and the nodes' calls in order."""

    def __init__(
        self, folder: Path, steps: tuple[Step, ...] | None, device: SimulatedDevice | None = None, **more: Any
    ):
        self.calls: list[tuple[str, str]] = []
        self.faults: dict[tuple[str, str], Exception] = {}
        items = more.pop("items", 1)
        self.bench = Bench(SIZES, None, items=items, fault=self._fault)
        job = self.bench.job()
        if steps is not None:
            job = replace(job, plan=replace(job.plan, steps=steps))
        self.device = device or SimulatedDevice(total_bytes=1000 * MIB, track=False)
        self.time = 0.0
        self.engine = Engine(
            replace(job, **more), self.device, Artifacts(folder), self.bench.events.append, clock=self._clock
        )

    def _clock(self) -> float:
        self.time += 1.0
        return self.time

    def _fault(self, when: str, node: str) -> None:
        self.calls.append((when, node))
        if (when, node) in self.faults:
            raise self.faults[when, node]

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [dict(event.data) for event in self.bench.events if event.kind == kind]


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Any]:
    made: list[Bed] = []

    def make(*given: Any, **more: Any) -> Bed:
        made.append(Bed(tmp_path, *given, **more))
        return made[-1]

    yield make
    for each in made:
        each.faults.clear()
        each.engine.unload_all()


def test_the_steps_are_done_in_their_order(bed: Any) -> None:
    run = bed((L0, R0, U0, L1, R1, U1))
    outcome = run.engine.execute()
    assert run.calls == [
        ("load", "n0"),
        ("run", "n0"),
        ("unload", "n0"),
        ("load", "n1"),
        ("run", "n1"),
        ("unload", "n1"),
    ]
    assert outcome.done == {"i0/n0", "i0/n1"}
    started = run.told("step_started")
    assert [(step["index"], step["op"]) for step in started] == list(
        enumerate(["load", "run", "unload", "load", "run", "unload"])
    )
    finished = run.told("step_finished")
    assert [step["index"] for step in finished] == list(range(6))
    assert [step["source"] for step in finished] == ["declared"] * 6
    assert all(step["seconds"] > 0 for step in finished)


def test_what_a_step_was_measured_to_take_is_kept_with_its_job(bed: Any) -> None:
    run = bed((L0, R0, U0, L1, R1, U1))
    outcome = run.engine.execute()
    seen = run.engine.observed
    assert [each.step for each in seen] == [L0, R0, U0, L1, R1, U1]
    assert [(each.start_bytes, each.peak_bytes, each.end_bytes) for each in seen[:3]] == [
        (0, 80 * MIB, 0), (80 * MIB, 85 * MIB, 80 * MIB), (80 * MIB, 80 * MIB, 0),
    ]  # fmt: skip
    assert all(each.undisturbed and each.job is run.engine.job and each.source == "declared" for each in seen)
    assert outcome.measured_peak_bytes == 85 * MIB


def test_a_prefetch_loads_beside_the_step_that_follows_it(bed: Any) -> None:
    run = bed((L0, P1, R0, U0, R1, U1))
    run.engine.execute()
    undisturbed = {each.step: each.undisturbed for each in run.engine.observed}
    assert undisturbed == {L0: True, P1: False, R0: False, U0: True, R1: True, U1: True}
    assert [step.get("during") for step in run.told("step_started") if step["op"] == "load"] == [None, "i0/n0"]


def test_a_prefetch_beside_a_step_with_nothing_to_do_is_a_plain_load(bed: Any) -> None:
    run = bed((L0, P1, R0, U0, R1, U1))
    run.engine.outcome.failed["i0/n0"] = TaskFailed("before")
    run.engine.artifacts.save("i0", "n0", {"text": run.engine._tasks.inputs._of_item("i0", "text")}, {})
    run.engine.execute()
    assert run.calls == [("load", "n1"), ("run", "n1"), ("unload", "n1")]
    assert [each.undisturbed for each in run.engine.observed] == [True, True, True]


def test_an_error_of_a_prefetch_ends_its_step(bed: Any) -> None:
    run = bed((L0, P1, R0, U0, R1, U1))
    run.faults["load", "n1"] = MemoryError("no room")
    with pytest.raises(MemoryTrouble) as raised:
        run.engine.execute()
    assert (raised.value.kind, raised.value.task, raised.value.subject) == (Trouble.OUT_OF_MEMORY, "i0/n1", "n1")
    assert raised.value.loading
    assert ("run", "n0") in run.calls
    del run.faults["load", "n1"]
    run.engine.execute()
    assert run.calls.count(("run", "n0")) == 1, "what was done is not done again"
    assert run.engine.outcome.done == {"i0/n0", "i0/n1"}


def test_after_trouble_it_goes_on_from_where_it_stands(bed: Any) -> None:
    run = bed((L0, R0, U0, L1, R1, U1))
    run.faults["run", "n0"] = MemoryError("no room")
    with pytest.raises(MemoryTrouble) as raised:
        run.engine.execute()
    needed = raised.value.needed_bytes
    assert needed == 85 * MIB + 85 * MIB // 20  # as much was planned, and it did not do
    assert (raised.value.task, raised.value.loading) == ("i0/n0", False)
    run.faults.clear()
    assert run.engine.execute().done == {"i0/n0", "i0/n1"}
    assert run.calls.count(("load", "n0")) == 1


def test_a_failed_task_lets_what_needs_it_go_and_models_nobody_waits_for_are_not_loaded(bed: Any) -> None:
    run = bed((L0, R0, U0, L1, R1, U1), keep_going=True)
    run.faults["run", "n0"] = ValueError("no")
    outcome = run.engine.execute()
    assert set(outcome.failed) == {"i0/n0"}
    assert outcome.skipped == {"i0/n1": "i0/n0"}
    assert run.calls == [("load", "n0"), ("run", "n0"), ("unload", "n0")]


def test_a_model_is_loaded_for_those_who_wait_for_it_before_its_unload(bed: Any) -> None:
    """The first of two items fails at `n0`; `n1` is loaded once for the other, and not before it is needed."""
    a0, b0, a1, b1 = (Run((f"i{item}/{node}",), 0) for node in ("n0", "n1") for item in (0, 1))
    run = bed((L0, a0, L1, a1, U1, b0, L1, b1, U1, U0), keep_going=True, items=2)
    fail, run.engine.before_step = iter([None, None]), lambda: None

    def fault(when: str, node: str) -> None:
        run.calls.append((when, node))
        if (when, node) == ("run", "n0") and next(fail, "later") is None and run.calls.count(("run", "n0")) == 1:
            raise ValueError("no")

    run.bench.fault = fault
    outcome = run.engine.execute()
    assert set(outcome.failed) == {"i0/n0"}
    assert outcome.done == {"i1/n0", "i1/n1"}
    assert run.calls.count(("load", "n1")) == 1


def test_a_model_that_cannot_be_loaded_fails_its_tasks_and_the_run_goes_on(bed: Any) -> None:
    run = bed((L0, R0, L1, R1, U1, U0), keep_going=True)
    run.faults["load", "n1"] = TaskFailed("weights.bin is cut off")
    outcome = run.engine.execute()
    assert (outcome.done, set(outcome.failed)) == ({"i0/n0"}, {"i0/n1"})
    assert run.calls.count(("unload", "n0")) == 1
    assert ("run", "n1") not in run.calls


def test_other_errors_of_a_load_end_the_run(bed: Any) -> None:
    run = bed((L0, R0), keep_going=True)
    run.faults["load", "n0"] = SurroundingsFailed("the disk is gone")
    with pytest.raises(SurroundingsFailed):
        run.engine.execute()


def test_memory_that_runs_out_while_memory_is_given_back_is_no_trouble(
    bed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = bed((L0, R0, U0, L1, R1, U1))
    real = run.engine._models.unload

    def fail_once(job: Job, model: str) -> None:
        real(job, model)
        if model == "n0":
            raise MemoryError("no room")

    monkeypatch.setattr(run.engine._models, "unload", fail_once)
    assert run.engine.execute().done == {"i0/n0", "i0/n1"}


def test_it_stops_between_two_steps_when_it_is_cancelled(bed: Any) -> None:
    run = bed((L0, R0, U0, L1, R1, U1))
    run.engine.before_step = lambda: run.engine.cancel.set() if len(run.calls) == 2 else None
    with pytest.raises(Interrupted):
        run.engine.execute()
    assert run.calls == [("load", "n0"), ("run", "n0")]


def test_who_cancels_may_give_the_event(bed: Any, tmp_path: Path) -> None:
    run, cancel = bed(None), threading.Event()
    engine = Engine(run.engine.job, run.device, Artifacts(tmp_path), lambda event: None, cancel=cancel)
    cancel.set()
    with pytest.raises(Interrupted):
        engine.execute()


class Growing(SimulatedDevice):
    """A device on which steps take `more` bytes than they were to."""

    more = 0

    @contextmanager
    def watch(self, declared_bytes: int = 0) -> Iterator[Reading]:
        with super().watch(declared_bytes + self.more) as reading:
            yield reading


def test_more_than_planned_is_trouble_after_the_step_and_what_it_made_is_kept(bed: Any) -> None:
    device = Growing(total_bytes=1000 * MIB, track=False)
    run = bed((L0, R0, U0, L1, R1, U1), device)
    run.engine.job = replace(run.engine.job, plan=replace(run.engine.job.plan, limit_bytes=90 * MIB))
    run.engine.adopt(run.engine.job)
    device.more = 30 * MIB
    with pytest.raises(MemoryTrouble) as raised:
        run.engine.execute()
    assert (raised.value.kind, raised.value.needed_bytes) == (Trouble.DRIFT, 110 * MIB)
    assert len(run.engine.observed) == 1
    device.more = 0
    assert run.engine.execute().done == {"i0/n0", "i0/n1"}
    assert run.calls.count(("load", "n0")) == 1


def test_those_who_may_give_way_are_the_users_of_other_models_the_largest_first(bed: Any) -> None:
    run = bed((L0, P1, R0, U0, R1, U1))
    assert (
        run.engine.next_tasks_of_others("i0/n0") == []
    )  # nothing is loaded yet, and the first step prefetches nothing
    run.engine.before_step = lambda: seen.append(
        (run.engine.next_tasks_of_others("i0/n0"), run.engine.next_tasks_of_others("i0/n1"))
    )
    seen: list[tuple[list[str], list[str]]] = []
    run.engine.execute()
    assert seen[0] == ([], ["i0/n0"])
    assert seen[1] == (["i0/n1"], ["i0/n0"])  # n1 is coming, n0 is there
    assert seen[2][1] == []  # n0 has no task left


def test_events_are_timed_from_the_beginning(bed: Any) -> None:
    run = bed(None)
    run.engine.emit("warning", text="x")
    event = run.bench.events[-1]
    assert (event.kind, event.data, event.seconds) == ("warning", {"text": "x"}, 1.0)


def test_a_job_may_be_taken_up_only_with_nothing_loaded(bed: Any) -> None:
    run = bed((L0, R0))
    run.engine.execute()
    with pytest.raises(AssertionError):
        run.engine.adopt(run.engine.job)
    run.engine.unload_all()
    run.engine.adopt(run.engine.job)
    assert run.device.used_bytes() == 0


def test_prefetches_belong_to_the_step_that_follows_them() -> None:
    steps = (L0, P1, P1, R0, U0)
    assert [with_prefetches(steps, at) for at in (0, 1, 2, 3, 4)] == [(L0,), (P1, P1, R0), (P1, R0), (R0,), (U0,)]
    assert with_prefetches((L0, P1), 1) == (P1,)


def test_the_fields_that_name_a_step() -> None:
    assert step_fields(R0) == {"op": "run", "tasks": ("i0/n0",)}
    assert step_fields(L0) == {"op": "load", "model": "n0"}
    assert step_fields(P1) == {"op": "load", "model": "n1", "during": "i0/n0"}
    assert step_fields(U0) == {"op": "unload", "model": "n0"}


def test_a_model_that_the_device_has_no_room_for_is_let_go_of_and_loaded_again(bed: Any) -> None:
    class Small(SimulatedDevice):
        """Has no room for what was loaded, the first time."""

        refusals = 1

        def loaded(self, key: str, declared_bytes: int, made: Any = None) -> None:
            self.refusals -= 1
            if self.refusals == 0:
                raise MemoryError("no room")
            super().loaded(key, declared_bytes, made)

    run = bed((L0, R0, U0), Small(total_bytes=1000 * MIB, track=False))
    with pytest.raises(MemoryTrouble):
        run.engine.execute()
    assert run.calls == [("load", "n0"), ("unload", "n0")]
    run.engine.execute()
    assert run.calls[2:] == [("load", "n0"), ("run", "n0"), ("unload", "n0")]
    assert run.engine.observed[-1].start_bytes == 80 * MIB, "it is counted"
