"""Several faults in one run, drawn at random: while the smallest variants fit what is left, no run gives up."""

import random
from dataclasses import replace

import pytest

from benchmarks.memory.harness import Bench, some_sizes
from pipelines.devices.protocol import DeviceOutOfMemory, Process
from pipelines.devices.simulated import SimulatedDevice
from pipelines.run.artifacts import Artifacts, read_note
from pipelines.run.engine import Engine
from pipelines.run.ladder import MODES, Alternative
from pipelines.run.recovery import Recovery
from pipelines.schema.config import Footprint
from pipelines.schema.node import Place
from pipelines.schema.units import MIB

#: How much smaller than its node each further variant is.
LEVELS = (4, 16)


class Shrinkable(Bench):
    """A bench whose nodes have two smaller variants each."""

    def alternatives(self, job, node, seen):
        now, (weights, workspace) = job.variants[node], self.sizes[int(node[1:])]
        made = []
        for level in LEVELS:
            held, taken = weights // level, workspace // level
            footprint = Footprint(weights=held, load_peak=held, workspace={"base": taken}, load_seconds=held / 2e9)
            variant = replace(now, origin=f"{node}/{level}", footprints={"host": footprint, "accelerator": footprint})
            if held < now.footprint_in("host").weights:
                made.append((Alternative(variant.name, frozenset({"variant"}), held + taken), variant))
        return tuple(made)

    def replan(self, job, variants, seen, gone):
        made = super().replan(job, variants, seen, gone)
        assert made.plan.peak_bytes <= seen.limit_bytes
        return replace(made, places={variant.name: Place() for variant in variants.values()})


class Troubled(SimulatedDevice):
    """A card to which something happens as steps begin. least: bytes it never falls below."""

    def __init__(self, total, least, faults):
        super().__init__(total_bytes=total, track=False)
        self.most, self.least, self.faults, self.count = total, least, faults, 0

    def watch(self, declared_bytes=0):
        self.count += 1
        kind, share = self.faults.pop(self.count, ("", 1.0))
        left = self.least + round((self.most - self.least) * share)
        if kind == "shrink":
            self.total_bytes, self.foreign = left, ()
        if kind == "foreign":
            self.total_bytes, self.foreign = self.most, (Process(4242, "python", self.most - left),)
        if kind == "leave":
            self.total_bytes, self.foreign = self.most, ()
        if kind == "out of memory":
            raise DeviceOutOfMemory("no room")
        return super().watch(declared_bytes)


def faults(draw):
    kinds = ["shrink", "foreign", "leave"] * 2 + ["out of memory"]
    return {draw.randint(1, 25): (draw.choice(kinds), draw.random()) for _ in range(draw.randint(1, 5))}


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=() if seed < 6 else pytest.mark.slow) for seed in range(60)])
def test_faults_in_any_combination_cost_no_task(seed, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.run.memory_check.LOOK_SECONDS", 0.0)
    monkeypatch.setattr("pipelines.run.resident_models.RETURN_SECONDS", 0.02)
    draw = random.Random(seed)
    sizes = some_sizes(draw, draw.randint(2, 4))
    total = max(map(sum, sizes)) + draw.randint(0, 60) * MIB
    device = Troubled(total, max(map(sum, sizes)) // LEVELS[-1] * 2, faults(draw))
    bench = Shrinkable(sizes, total, items=draw.randint(1, 3))
    engine = Engine(job := bench.job(), device, Artifacts(tmp_path), bench.events.append)
    device.cap(total)
    Recovery(engine, bench, MODES["balanced"], patience=0.0).execute()
    finished = [event.data["task"] for event in bench.events if event.kind == "task_finished"]
    assert sorted(finished) == sorted(task.id for task in job.problem.tasks), "each once"
    assert all(read_note(tmp_path / task) for task in finished)
    assert device.used_bytes() == 0
