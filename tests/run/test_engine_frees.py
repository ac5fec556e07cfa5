"""A task that fails must not keep its model: the error that is remembered lets go of what its frames held."""

import gc
import weakref
from dataclasses import replace

import pytest

from benchmarks.memory.harness import Bench, Block
from pipelines.devices.simulated import SimulatedDevice
from pipelines.run.artifacts import Artifacts
from pipelines.run.engine import Engine
from pipelines.schema.errors import TaskFailed
from pipelines.schema.units import MIB

SIZES = ((8 * MIB, MIB), (4 * MIB, MIB))


@pytest.fixture
def models(monkeypatch):
    """Weak references to everything a node has loaded."""
    made, load = [], Block.load

    def noted(self, place):
        model = load(self, place)
        made.append(weakref.ref(model))
        return model

    monkeypatch.setattr(Block, "load", noted)
    return made


@pytest.mark.parametrize("error", [TaskFailed, ValueError])
def test_a_failed_task_holds_nothing_of_its_model(models, tmp_path, error, undisturbed):
    def fault(when, node):
        if (when, node) == ("run", "n0"):
            raise error("no") from OSError("below")

    bench = Bench(SIZES, None, items=2, fault=fault)
    job = replace(bench.job(), keep_going=True)
    engine = Engine(job, SimulatedDevice(total_bytes=100 * MIB, track=False), Artifacts(tmp_path), bench.events.append)
    outcome = engine.execute()
    gc.collect()
    assert len(outcome.failed) == 2
    assert models
    assert [ref() for ref in models] == [None] * len(models)
    engine.unload_all()


def test_an_interrupted_run_calls_nobody_a_leak(models, tmp_path):
    def fault(when, node):
        if (when, node) == ("run", "n0"):
            raise KeyboardInterrupt

    bench = Bench(SIZES, None, fault=fault)
    device = SimulatedDevice(total_bytes=100 * MIB, track=False)
    device.unloaded = lambda key: None  # as if the frames of the interrupt held it
    with pytest.raises(KeyboardInterrupt):
        bench.run(device, tmp_path)
    assert not [event for event in bench.events if event.data.get("what") == "leak"]


@pytest.mark.parametrize("step", [("run", "n1"), ("load", "n1")])
def test_what_ran_out_of_memory_holds_nothing_when_it_is_tried_again(step, tmp_path):
    held, alive = [], []

    def fault(when, node):
        if (when, node) != step:
            return
        alive.extend(ref() is not None for ref in held)
        if not held:
            taken = type("Taken", (), {})()  # a tensor, half-way through
            held.append(weakref.ref(taken))
            raise RuntimeError("CUDA out of memory.")

    gc.disable()  # when it comes by itself is chance
    try:
        bench = Bench(SIZES, None, fault=fault)
        bench.run(SimulatedDevice(total_bytes=100 * MIB, track=False), tmp_path)
    finally:
        gc.enable()
    assert alive
    assert not any(alive)


class Forgetful(SimulatedDevice):
    """Gets back `share` of what a model held."""

    share = 1.0

    def unloaded(self, key):
        self._declared[key] = round(self._declared[key] * (1 - self.share))


@pytest.mark.parametrize(("share", "leaks"), [(0.8, []), (0.6, ["n0", "n1"])])
def test_what_a_leak_is_is_decided_by_the_rule_of_the_devices(share, leaks, tmp_path, monkeypatch):
    """A return of 60 % once passed in the engine and was a leak everywhere else."""
    monkeypatch.setattr("pipelines.run.resident_models.RETURN_SECONDS", 0.01)
    device = Forgetful(total_bytes=4000 * MIB, track=False)
    device.share = share

    def hold(when, node):
        if when == "load":
            device.loaded(node, 400 * MIB)

    bench = Bench(((400 * MIB, MIB), (400 * MIB, MIB)), 2000 * MIB, fault=hold)
    engine = Engine(bench.job(), device, Artifacts(tmp_path), bench.events.append)
    engine.execute()
    engine.unload_all()
    assert [returned.model for returned in engine.returns] == leaks
    assert len([event for event in bench.events if event.data.get("what") == "leak"]) == len(leaks)
