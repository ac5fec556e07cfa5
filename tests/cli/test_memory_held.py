"""What memory does against the plan is answered by `headroom run` itself: drift, leaks, workers that want too much."""

import gc
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.devices.glibc import trim
from pipelines.devices.simulated import SimulatedDevice
from pipelines.schema.units import MIB
from pipelines.session import device as on_device
from tests.run.standins import known

TOY = ("run", "pipeline=toy", "tier=toy", "device=simulated", "device.total=1GiB", "memory_plot=false", "text=x")


class Heavier(SimulatedDevice):
    """A simulated card on which `separate/big` weighs `more` than it declares."""

    more = 0

    def loaded(self, key, declared_bytes, made=None):
        super().loaded(key, declared_bytes + (self.more if key == "separate/big" else 0), made)


@pytest.fixture
def drifting(headroom, monkeypatch):
    def call(more):
        device = Heavier(total_bytes=1024 * MIB)
        device.more = more
        monkeypatch.setattr(on_device, "open_device", lambda *a, **k: device)
        device.watch = _told_late(device)
        return headroom(*TOY, toy=True), *_record()

    return call


def _told_late(device):
    """The weights show at the end of the load's own watch, as they do where they are measured."""
    from contextlib import contextmanager

    @contextmanager
    def watch(declared_bytes=0):
        with SimulatedDevice.watch(device, declared_bytes) as reading:
            yield reading
        if declared_bytes >= 40 * MIB:  # the load of separate/big
            reading.peak_bytes += device.more
            reading.end_bytes += device.more

    return watch


def _record(root="outputs"):
    folder = next(Path(root).rglob("run.json")).parent
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    return json.loads((folder / "run.json").read_text(encoding="utf-8")), events


def test_drift_that_a_later_step_could_not_bear_is_planned_around(drifting):
    result, record, events = drifting(14 * MIB)  # 62 MiB loaded, under the limit of 64; its run would take 67
    assert result.code == 0, result.err
    assert [event["text"] for event in events if event.get("what") == "drift"] == [
        "separate/big took 14 MiB more than planned; a later step would pass the limit."
    ]
    assert any(event["event"] == "rung" for event in events)
    assert record["variants"]["separate"]["name"] == "separate/big"  # as it was planned; the rung says what came of it
    assert any("separate/small" in line for lines in record["rungs"].values() for line in lines)
    assert record["measured_peak_bytes"] <= record["limit_bytes"]


def test_drift_that_does_no_harm_is_told_and_nothing_else(drifting):
    result, record, events = drifting(4 * MIB)
    assert result.code == 0, result.err
    assert any(event.get("what") == "drift" and "still holds" in event["text"] for event in events)
    assert not record["rungs"]


CONF = {
    "pipeline/own.yaml": "items: {text: text}\nnodes:\n"
    "  tone: {_target_: tests.apps.toys.Tone, in: {text: item.text}}\n"
    "  convert: {role: convert, in: {audio: tone.audio}}\n"
    "  save: {_target_: tests.apps.toys.Save, in: {audio: convert.audio}}\n",
    "model/convert/leaky.yaml": "_target_: tests.run.standins.known.Known\nknobs: {weights: 100, base: 1, slope: 0, leak: 100}\n"
    "footprint: {weights: 104 MiB, workspace: {base: 2 MiB}, load_seconds: 1, source: test}\n",
    "model/convert/greedy.yaml": "_target_: tests.run.standins.known.Known\nknobs: {weights: 1, base: 1500, slope: 0}\n"
    "isolation: process\n"
    "footprint: {weights: 2 MiB, workspace: {base: 2 MiB}, load_seconds: 1, source: test}\n",
}


@pytest.fixture
def own(tmp_path):
    for name, text in CONF.items():
        path = tmp_path / "conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return ("run", "--trust", "tests", "-cd", str(tmp_path / "conf"), "pipeline=own", "text=x", "device=cpu",
            "memory_plot=false")  # fmt: skip


def test_a_model_that_leaks_is_named_and_isolated_next_time(headroom, own, monkeypatch):
    monkeypatch.setattr(known, "_LEAKED", [])
    monkeypatch.setattr("pipelines.run.resident_models.RETURN_SECONDS", 0.2)
    gc.collect()  # what other tests left would otherwise come back during the run, and hide what leaks in it
    trim()
    leaks = []
    for out in ("first", "second"):
        result = headroom(*own, "model/convert=leaky", f"outputs_dir={out}")
        assert result.code == 0, result.err
        leaks.append([event["text"] for event in _record(out)[1] if event.get("what") == "leak"])
    assert len(leaks[0]) == 1
    assert leaks[0][0].startswith("convert/leaky keeps ")
    assert not leaks[1], "its own process took every byte with it"
    assert len(known._LEAKED) == 1, "the second run's leak was not in this process"


@pytest.mark.slow
def test_a_worker_that_wants_more_than_the_limit_is_refused_by_the_kernel(tmp_path, command, own):
    done = subprocess.run(
        [*command, *own, "model/convert=greedy", "tier.limit=900MiB"], cwd=tmp_path, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 5, done.stderr
    assert "Tried:" in done.stderr
    _, events = _record(tmp_path / "outputs")
    assert all(event.get("measured_peak_bytes", 0) <= 900 * MIB for event in events), sys.platform
