"""Models on the device: loaded once, let go of in every case, and each held to give back what it took."""

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.memory.harness import Bench, Block
from pipelines.devices.simulated import SimulatedDevice
from pipelines.run.resident_models import ResidentModels
from pipelines.schema.errors import OutOfMemory, TaskFailed
from pipelines.schema.units import MIB

JOB = Bench(((80 * MIB, MIB), (4 * MIB, MIB)), None).job()


class Keeping(SimulatedDevice):
    """A device that gets nothing back."""

    def unloaded(self, key: str) -> None:
        return


def resident(device: SimulatedDevice | None = None) -> tuple[ResidentModels, list[Any]]:
    events = list[Any]()
    card = device or SimulatedDevice(total_bytes=1000 * MIB, track=False)
    return ResidentModels(card, lambda kind, **data: events.append((kind, data))), events


def test_what_was_loaded_is_there_until_it_is_unloaded() -> None:
    models, events = resident()
    assert (list(models), "n0" in models, models.get("n0"), models.get(None)) == ([], False, None, None)
    made = models.load(JOB, "n0")
    models.load(JOB, "n1")
    assert models.get("n0") is made
    assert models.get(None) is None
    assert list(models) == ["n0", "n1"]
    for model in models:  # while it goes through them
        models.unload(JOB, model)
    models.unload(JOB, "n0")  # it is gone already
    assert (list(models), "n0" in models, events) == ([], False, [])


def test_a_load_that_fails_is_an_error_of_ours_and_nothing_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(error: Exception) -> None:
        def load(*_: object) -> None:
            raise error

        monkeypatch.setattr(Block, "load", load)

    models, _ = resident()
    fail(ValueError("no"))
    with pytest.raises(TaskFailed, match="n0 could not be loaded: ValueError: no"):
        models.load(JOB, "n0")
    fail(MemoryError("no"))
    with pytest.raises(OutOfMemory, match="n0 could not be loaded"):
        models.load(JOB, "n0")
    assert "n0" not in models


def test_an_unload_that_fails_is_a_warning_and_the_model_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("stuck")

    models, events = resident()
    models.load(JOB, "n0")
    monkeypatch.setattr(Block, "unload", fail)
    models.unload(JOB, "n0")
    assert events == [("warning", {"text": "n0: its unload failed (RuntimeError: stuck); it was dropped."})]
    assert "n0" not in models


@pytest.mark.parametrize(
    ("grown", "leaks"), [(80, True), (500, True), (33, True), (30, False), (0, False), (-5, False)]
)
def test_as_much_as_a_load_took_must_come_back(monkeypatch: pytest.MonkeyPatch, grown: int, leaks: bool) -> None:
    """At most the planned weights: what a library keeps from its first use on is context."""
    monkeypatch.setattr("pipelines.run.resident_models.RETURN_SECONDS", 0.0)
    device = Keeping(total_bytes=1000 * MIB, track=False)
    models, events = resident(device)
    models.load(JOB, "n0")
    device.loaded("n0", 80 * MIB)
    models.measured(JOB, "n0", grown * MIB)
    models.unload(JOB, "n0")
    assert [returned.model for returned in models.returns] == (["n0"] if leaks else [])
    assert [data["what"] for _, data in events] == (["leak"] if leaks else [])
    if leaks:
        assert models.returns[0].held_bytes == min(grown, 80) * MIB
        assert "n0 keeps" in events[0][1]["text"]


def test_a_model_that_gives_its_bytes_back_is_no_leak() -> None:
    device = SimulatedDevice(total_bytes=1000 * MIB, track=False)
    models, events = resident(device)
    models.load(JOB, "n0")
    device.loaded("n0", 80 * MIB)
    models.measured(JOB, "n0", 80 * MIB)
    models.unload(JOB, "n0")
    assert (models.returns, events, device.used_bytes()) == ([], [], 0)


def test_while_an_error_is_handled_nothing_is_said_of_what_it_still_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    reclaimed = list[int]()
    device = Keeping(total_bytes=1000 * MIB, track=False)
    monkeypatch.setattr(device, "reclaim", lambda: reclaimed.append(1))
    models, events = resident(device)
    models.load(JOB, "n0")
    device.loaded("n0", 80 * MIB)
    models.measured(JOB, "n0", 80 * MIB)
    try:
        raise ValueError("x")
    except ValueError:
        models.unload(JOB, "n0")
    assert (models.returns, events, reclaimed) == ([], [], [1])


def test_a_model_shared_by_nodes_is_loaded_from_its_own_place() -> None:
    seen = list[object]()
    block = JOB.nodes["n0"]
    job = replace(
        JOB, nodes={**JOB.nodes, "n0": type("Spy", (), {"load": lambda self, place: seen.append(place) or block})()}
    )
    models, _ = resident()
    assert models.load(job, "n0") is block
    assert seen == [JOB.places["n0"]]
