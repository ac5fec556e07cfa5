"""Faults at every step of a run: it ends completed or with the documented code, nothing finished is lost, nothing leaks."""

import json
from pathlib import Path

import pytest

from pipelines import api
from pipelines.devices.protocol import DeviceOutOfMemory, Process
from pipelines.devices.simulated import SimulatedDevice
from pipelines.files import sha256_of
from pipelines.schema.units import MIB
from pipelines.session import device as on_device
from tests.events_reader import read_events

STEPS = 14
#: Steps of the plan that only give memory back; nothing there can run out of it.
UNLOADS = (6, 10)
#: All steps in `make test`; a load, a run and the last in `make check`.
EVERY = [pytest.param(at, marks=() if at in (2, 5, STEPS) else pytest.mark.slow) for at in range(1, STEPS + 1)]
#: A table of eight items.
EIGHT = "".join(f'{{"text": "{n}"}}\n' for n in range(8))
RUN = (
    "run",
    "pipeline=twelve",
    "tier=toy",
    "device=simulated",
    "device.total=1GiB",
    "memory_plot=false",
    "input=t.jsonl",
)


class Faulty(SimulatedDevice):
    """A simulated card on which something happens when the n-th step begins."""

    def __init__(self, at, fault, times=1):
        super().__init__(total_bytes=1024 * MIB, name="faulty")
        self.at, self.fault, self.times, self.count = at, fault, times, 0

    def watch(self, declared_bytes=0):
        self.count += 1
        if self.count >= self.at and self.times > 0:
            self.times -= 1
            self.fault(self)
        return super().watch(declared_bytes)


@pytest.fixture
def run(headroom, monkeypatch):
    Path("t.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n', encoding="utf-8")

    monkeypatch.setattr("pipelines.run.recovery.Recovery.patience", 0.0)

    def call(device, *more):
        monkeypatch.setattr(on_device, "open_device", lambda *a, **k: device)
        result = headroom(*RUN, *more, toy=True)
        folder = next(Path("outputs").rglob("run.json")).parent
        assert device._declared == {}, "bytes were leaked"
        _nothing_lost(folder)
        return result, json.loads((folder / "run.json").read_text(encoding="utf-8"))

    return call


def _nothing_lost(folder):
    """Every task the record calls finished is there, byte for byte."""
    for event in read_events(folder):
        if event["event"] == "task_finished":
            item, node = event["task"].split("/")
            for name, sum_ in event["outputs"].items():
                assert sha256_of(folder / "artifacts" / item / node / name) == sum_


def out_of_memory(device):
    raise DeviceOutOfMemory("no room")


@pytest.mark.parametrize("at", EVERY)
def test_memory_that_runs_out_once_costs_a_retry(run, at):
    result, record = run(Faulty(at, out_of_memory))
    assert result.code == 0, result.err
    assert record["status"] == "ok"
    assert len([name for name in record["artifacts"] if "/save/" in name and name.endswith(".txt")]) == 2
    rungs = [line for lines in record["rungs"].values() for line in lines]
    assert all("memory ran out" in line for line in rungs)
    assert bool(rungs) == ("remedy" in result.out)
    assert rungs or at in UNLOADS, "only giving back needs no memory"


@pytest.mark.parametrize(
    "at", [1, pytest.param(4, marks=pytest.mark.slow), pytest.param(8, marks=pytest.mark.slow), 13]
)
def test_memory_that_never_suffices_ends_with_what_was_tried(run, at):
    result, record = run(Faulty(at, out_of_memory, times=10_000), "model/separate=big")
    assert result.code == 5
    assert record["status"] == "failed"
    assert "Tried:" in result.err
    assert "headroom fit" in result.err


def test_a_variant_the_tier_allows_replaces_one_that_does_not_run(run):
    def big_fails(device):
        if any(key == "separate/big" for key in device._declared):
            device.times += 1
            raise DeviceOutOfMemory("no room for big")
        device.times += 1

    result, record = run(Faulty(1, big_fails))
    assert result.code == 0, result.err
    assert any("separate/" in line for lines in record["rungs"].values() for line in lines)


def test_what_the_user_pinned_is_not_replaced(run):
    def big_fails(device):
        device.times += 1
        if "separate/big" in device._declared:
            raise DeviceOutOfMemory("no room for big")

    result, record = run(Faulty(1, big_fails), "model/separate=big")
    assert result.code in (0, 5)
    used = {line for lines in record["rungs"].values() for line in lines}
    assert not any("separate/small" in line for line in used)


@pytest.mark.parametrize("at", EVERY)
def test_a_device_that_shrinks_is_planned_around(run, at):
    def shrink(device):
        device.total_bytes = 45 * MIB  # of the 64 MiB limit, 30 % less

    result, record = run(Faulty(at, shrink))
    assert result.code == 0, result.err
    assert record["measured_peak_bytes"] <= record["limit_bytes"]


def test_a_moved_task_goes_home_when_the_bytes_are_back(run):
    def come_and_go(device):
        device.times += 1
        away = 2 <= device.count <= 5
        device.foreign = (Process(4242, "python", 1024 * MIB - 45 * MIB),) if away else ()

    Path("t.jsonl").write_text(EIGHT, encoding="utf-8")  # enough that some wait when the bytes are back
    result, record = run(Faulty(1, come_and_go))
    assert result.code == 0, result.err
    assert "going back to" in result.out or not record["rungs"]
    assert any("free again" in line for line in result.out.splitlines()) or not record["rungs"]


def test_two_nodes_change_where_one_change_is_not_enough(run):
    def shrink(device):
        device.total_bytes = 20 * MIB  # neither `big` nor `loud` fits, `small` and `quiet` do

    result, record = run(Faulty(1, shrink), "tier.allow.convert=[loud,quiet]")
    assert result.code == 0, result.err
    assert record["measured_peak_bytes"] <= 64 * MIB
    assert any("separate/small" in line for line in record["rungs"]["one/separate"])
    assert any("convert/quiet" in line for line in record["rungs"]["one/convert"])
    folder = next(Path("outputs").rglob("run.json")).parent
    plans = [json.loads((folder / name).read_text(encoding="utf-8")) for name in ("plan.json", "plan-2.json")]
    assert [plan["limit_bytes"] // MIB for plan in plans] == [64, 20], "the first plan is kept as it was"
    for name in ("plan.json", "plan-2.json"):
        assert api.check(folder / name).ok, f"{name} is checked against the problem it was made for"
    (folder / "problem-2.json").unlink()
    assert not api.check(folder / "plan-2.json").ok, "the first problem has other tasks"


def test_what_stands_in_the_way_of_a_new_plan_changes_at_once(run, monkeypatch):
    monkeypatch.setattr("pipelines.run.memory_check.LOOK_SECONDS", 0.0)

    def shrink_twice(device):
        device.times += 1
        if device.count == 1 or "separate/small" in device._declared:
            device.total_bytes = 45 * MIB if device.count == 1 else 20 * MIB

    result, record = run(Faulty(1, shrink_twice), "tier.allow.convert=[loud,quiet]")
    assert result.code == 0, result.err
    taken = [line for line in record["rungs"]["one/convert"] if "another process" in line]
    assert [line.rpartition("; ")[2] for line in taken] == ["going on with convert/quiet"], "its own step was all right"


@pytest.mark.slow
def test_memory_that_is_taken_again_after_the_way_home_moves_the_task_again(run):
    def take_where_big_is(device):
        device.times += 1
        big, small = "separate/big" in device._declared, "separate/small" in device._declared
        if big or small:
            device.foreign = (Process(4242, "python", 1024 * MIB - 45 * MIB),) if big else ()

    Path("t.jsonl").write_text(EIGHT, encoding="utf-8")
    result, record = run(Faulty(1, take_where_big_is))
    assert result.code == 0, result.err
    moves = [line.rpartition("; ")[2] for lines in record["rungs"].values() for line in lines if "separate" in line]
    assert moves.count("going on with separate/small") >= 2
    assert not any("@cpu" in line for line in moves), "small fits, and comes first"


def test_a_step_that_fails_twice_before_the_new_plan_has_taught_its_bytes_once(run):
    result, _ = run(Faulty(2, out_of_memory, times=3))
    assert result.code == 0, result.err
    plans = sorted(Path("outputs").rglob("plan*.json"), key=lambda path: path.stat().st_mtime_ns)
    first, again = (json.loads(path.read_text(encoding="utf-8"))["steps"] for path in plans)
    before, after = (
        next(step["peak_bytes"] for step in steps if step.get("tasks") == ["one/tone"]) for steps in (first, again)
    )
    assert after - before <= before // 20


@pytest.mark.parametrize("at", [1, 5, 9])
def test_another_process_is_named_and_planned_around(run, at):
    def join(device):
        device.foreign = (Process(4242, "python", 1024 * MIB - 50 * MIB),)

    result, record = run(Faulty(at, join))
    assert result.code == 0, result.err
    assert any("another process" in line for lines in record["rungs"].values() for line in lines) or not record["rungs"]


@pytest.mark.parametrize("at", [pytest.param(at, marks=() if at == 4 else pytest.mark.slow) for at in range(1, 11)])
def test_a_node_that_raises_fails_its_task_alone(headroom, at, monkeypatch):
    from tests.apps import toys

    Path("t.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n', encoding="utf-8")
    calls = []
    for kind in (toys.Tone, toys.Gain, toys.Slow, toys.Save):
        real = kind.run

        def run(self, model, inputs, context, real=real):
            calls.append(context.item)
            if len(calls) == at:
                raise RuntimeError("deliberate")
            return real(self, model, inputs, context)

        monkeypatch.setattr(kind, "run", run)
    result = headroom(*RUN, "-k", toy=True)
    folder = next(Path("outputs").rglob("run.json")).parent
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert result.code == 1
    assert len(record["failed"]) == 1
    _nothing_lost(folder)
    finished = {name.split("/")[0] for name in record["artifacts"] if "/save/" in name}
    assert finished == {"one", "two"} - {task.split("/")[0] for task in record["failed"]}


def test_weights_that_cannot_be_loaded_fail_the_tasks_that_want_them(headroom, monkeypatch):
    from pipelines.schema.errors import TaskFailed
    from tests.apps import toys

    def corrupt(self, place):
        raise TaskFailed("weights.bin is cut off")

    monkeypatch.setattr(toys.Loud, "load", corrupt)
    Path("t.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n', encoding="utf-8")
    result = headroom(*RUN, "-k", toy=True)
    record = json.loads(next(Path("outputs").rglob("run.json")).read_text(encoding="utf-8"))
    assert result.code == 1
    assert sorted(record["failed"]) == ["one/convert", "two/convert"]
    assert any(name.startswith("one/separate/") for name in record["artifacts"])
    assert "weights.bin is cut off" in result.out
