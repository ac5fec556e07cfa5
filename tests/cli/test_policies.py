"""What a tier's settings do in a real run: residency, CPU fallback, streams, a smaller card, the allocator."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.config.auto import detected_tier
from pipelines.config.catalog import conf_dir
from pipelines.devices import detect as detection
from pipelines.devices.detect import Detection
from pipelines.devices.protocol import DeviceOutOfMemory
from pipelines.devices.simulated import SimulatedDevice
from pipelines.schema.errors import UsageError
from pipelines.schema.hardware import Card, Hardware
from pipelines.schema.settings import DeviceSpec
from pipelines.schema.units import GIB, MIB
from pipelines.session import device as on_device
from pipelines.worker.client import environment_of
from tests.apps.toys import Gain

TWELVE = ("pipeline=twelve", "tier=toy", "device=simulated", "device.total=1GiB", "memory_plot=false", "input=t.jsonl")
TOY = ("pipeline=toy", "tier=toy", "device=simulated", "device.total=1GiB", "memory_plot=false", "text=x")


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    """Whatever a run sets in this process's environment is taken back."""
    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "CUDA_DEVICE_ORDER"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def two(headroom):
    """`headroom` in a folder with two texts; what the toy models did is in `Gain.loads`."""
    Path("t.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n', encoding="utf-8")
    Gain.loads.clear()
    return headroom


def record():
    (path,) = Path("outputs").rglob("run.json")
    return path.parent, json.loads(path.read_text(encoding="utf-8"))


def plan_of(folder):
    return json.loads((folder / "plan.json").read_text(encoding="utf-8"))


def held(steps):
    """Models resident after each step of a record or a plan."""
    now: list[str] = []
    for step in steps:
        if step["op"] == "load":
            now.append(step["model"])
        elif step["op"] == "unload":
            now.remove(step["model"])
        yield tuple(now)


# -- residency ------------------------------------------------------------------------------------------------------


def test_low_vram_holds_one_model_at_any_moment_and_loads_it_for_each_item(two, monkeypatch):
    monkeypatch.setenv("LOW_VRAM", "true")
    result = two("run", *TWELVE, toy=True)
    assert result.code == 0, result.err
    folder, made = record()
    assert max(map(len, held(made["steps"]))) == 1
    assert Gain.loads == ["load", "unload"] * 4  # two models for two items
    plan = plan_of(folder)
    assert plan["method"] == "residency sequential"
    assert plan["load_seconds"] == 4.0
    assert (plan["proved_optimal"], plan["lower_bound"]) == (False, 2.0)
    assert "residency sequential" in result.out
    assert two("check", str(folder / "plan.json")).code == 0


def test_low_vram_false_loads_every_model_once_and_keeps_it(two, monkeypatch):
    monkeypatch.setenv("LOW_VRAM", "false")
    result = two("run", *TWELVE, "tier.limit=128MiB", toy=True)
    assert result.code == 0, result.err
    folder, made = record()
    assert [step["op"] for step in made["steps"] if step["op"] != "run"] == ["load", "load"]
    assert Gain.loads == ["load", "load", "unload", "unload"]  # at the very end
    plan = plan_of(folder)
    assert plan["method"] == "residency normal"
    assert plan["proved_optimal"]
    assert made["measured_peak_bytes"] <= plan["limit_bytes"]
    assert two("check", str(folder / "plan.json")).code == 0


def test_the_same_batch_planned_and_under_low_vram(two):
    """At the same limit `planned` loads each model once where `sequential` does for every item."""
    Path("t.jsonl").write_text("".join(f'{{"text": "line {n}"}}\n' for n in range(10)), encoding="utf-8")
    plans = {}
    for policy in ("planned", "sequential"):
        result = two("plan", *TWELVE, f"++tier.residency={policy}", "--format", "json", toy=True)
        assert result.code == 0, result.err
        plans[policy] = json.loads(result.out)
    assert max(map(len, held(plans["planned"]["steps"]))) == 1  # both models together are over 64 MiB
    assert plans["planned"]["load_seconds"] == 2.0
    assert plans["sequential"]["load_seconds"] == 20.0
    assert plans["planned"]["limit_bytes"] == plans["sequential"]["limit_bytes"]


def test_keeping_all_takes_smaller_variants_where_the_best_do_not_fit_together(two):
    result = two("plan", *TWELVE, "++tier.residency=normal", toy=True)
    assert result.code == 0
    assert "separate/small for separate: separate/big would not fit in 64 MiB with the rest" in result.out
    assert "separate/big" in two("plan", *TWELVE, toy=True).out


def test_keeping_all_that_does_not_fit_is_refused_and_says_that_planned_would(two):
    pinned = ("++tier.residency=normal", "model/separate=big")
    result = two("plan", *TWELVE, *pinned, "--format", "json", toy=True)
    assert result.code == 4
    refusal = json.loads(result.out)
    assert refusal["reason"].startswith("residency=normal keeps all 2 models loaded to the end, 84 MiB of weights")
    assert refusal["proved"]
    assert refusal["short_bytes"] == refusal["needed_bytes"] - 64 * MIB
    assert any("tier.residency=planned fits" in text for text in refusal["suggestions"])
    larger = refusal["needed_bytes"]
    assert two("plan", *TWELVE, *pinned, f"tier.limit={larger}", toy=True).code == 0
    assert two("plan", *TWELVE, *pinned, f"tier.limit={larger - 1}", toy=True).code == 4
    assert two("plan", *TWELVE, "model/separate=big", toy=True).code == 0


@pytest.mark.parametrize(("total", "policy"), [("6GiB", "sequential"), ("8GiB", "normal")])
def test_low_vram_auto_goes_by_the_card_and_says_so(two, monkeypatch, total, policy):
    Path(".env").write_text("LOW_VRAM=auto\n", encoding="utf-8")
    given = [each for each in TWELVE if not each.startswith("device.total")]
    result = two("plan", *given, f"device.total={total}", "tier.limit=128MiB", toy=True)
    assert result.code == 0, result.err
    assert f"residency {policy}" in result.out.splitlines()[0]
    assert f"residency={policy} (auto, on a device of" in result.out


def test_a_chain_needs_its_models_together_so_low_vram_does_not_stream_it(headroom):
    dub = ("pipeline=dub", "tier=streams", "device=simulated", "device.total=1GiB", "text=one two")
    result = headroom("plan", *dub, "++tier.residency=sequential", toy=True)
    assert result.code == 0
    assert "residency=sequential keeps one model at a time" in result.out


def test_under_keep_all_a_chain_counts_what_else_is_kept(headroom):
    """speak 24 + convert 36 MiB and both workspaces: apart they need one workspace less than together."""
    dub = (
        "pipeline=dub",
        "tier=streams",
        "device=simulated",
        "device.total=1GiB",
        "text=one two",
        "++tier.residency=normal",
    )
    assert headroom("plan", *dub, "tier.limit=70MiB", toy=True).code == 0
    result = headroom("plan", *dub, "tier.limit=68MiB", toy=True)
    assert result.code == 0
    assert "does not stream" in result.out


# -- CPU fallback ---------------------------------------------------------------------------------------------------


def test_what_fits_in_no_variant_is_planned_on_the_cpu_where_the_tier_lets_it(headroom):
    small = (*TOY, "tier.limit=3MiB")
    assert headroom("plan", *small, toy=True).code == 4
    assert headroom("plan", *small, "++tier.cpu_fallback=[convert]", toy=True).code == 4
    result = headroom("run", *small, "++tier.cpu_fallback=[convert,separate]", toy=True)
    assert result.code == 0, result.err
    _, made = record()
    assert made["variants"]["separate"]["name"] == "separate/big@cpu"
    assert sum("is planned on the CPU" in note and "cpu_fallback" in note for note in made["notes"]) == 1
    assert made["measured_peak_bytes"] <= 3 * MIB


def test_only_what_must_go_to_the_cpu_goes(two):
    """separate fits 45 MiB in its smaller variant, convert (36 + 7.2) fits as well: nothing moves. At 40 only convert does not."""
    roles = "++tier.cpu_fallback=[separate,convert]"
    assert "planned on the CPU" not in two("plan", *TWELVE, roles, "tier.limit=45MiB", toy=True).out
    result = two("plan", *TWELVE, roles, "tier.limit=40MiB", toy=True)
    assert "convert is planned on the CPU" in result.out
    assert "separate is planned on the CPU" not in result.out


class Hostile(SimulatedDevice):
    """No model of these roles ever has room on it."""

    def __init__(self, *roles):
        super().__init__(total_bytes=1 * GIB, name="hostile")
        self.roles = roles

    def watch(self, declared_bytes=0):
        if any(key.startswith(self.roles) and not key.endswith("@cpu") for key in self._declared):
            raise DeviceOutOfMemory("no room")
        return super().watch(declared_bytes)


@pytest.mark.parametrize(
    ("roles", "code"), [("[separate]", 0), ("[convert]", 5), pytest.param("[]", 5, marks=pytest.mark.slow)]
)
def test_the_ladder_takes_its_cpu_rung_for_the_tiers_roles_only(two, monkeypatch, roles, code):
    monkeypatch.setattr("pipelines.run.recovery.Recovery.patience", 0.0)
    monkeypatch.setattr(on_device, "open_device", lambda *a, **k: Hostile("separate/"))
    result = two("run", *TWELVE, f"++tier.cpu_fallback={roles}", toy=True)
    assert result.code == code, result.err
    _, made = record()
    rungs = [line for lines in made["rungs"].values() for line in lines]
    assert any("separate/" in line and "@cpu" in line for line in rungs) == (code == 0)


# -- streams --------------------------------------------------------------------------------------------------------


def test_no_streams_makes_the_tier_that_of_the_cpu(headroom, monkeypatch):
    monkeypatch.setenv("VRPG_XTTS_GPU_STREAMS", "0")
    dub = ("plan", "pipeline=dub", "text=x", "device=simulated", "device.name=RTX 4090")
    assert "tier cpu" in headroom(*dub).out.splitlines()[0]
    assert "tier modest" in headroom(*dub, "tier=modest").out.splitlines()[0]
    monkeypatch.setenv("VRPG_XTTS_GPU_STREAMS", "1")
    assert "tier high_end" in headroom(*dub).out.splitlines()[0]


def test_two_streams_count_the_workspaces_of_both(two):
    """Two tasks of 10 and 20 MiB: side by side where 30 fit, else one after the other."""
    tasks = [
        {"id": name, "models": [], "workspace_bytes": size * MIB, "seconds": 1.0, "after": []}
        for name, size in (("a", 10), ("b", 20))
    ]

    def runs(limit, streams):
        problem = {
            "schema": "headroom/problem/1",
            "limit_bytes": limit * MIB,
            "streams": streams,
            "models": {},
            "tasks": tasks,
        }
        Path("p.json").write_text(json.dumps(problem), encoding="utf-8")
        plan = json.loads(two("plan", "--problem", "p.json", "--format", "json").out)
        return sorted((len(step["tasks"]), step["peak_bytes"] // MIB) for step in plan["steps"])

    assert runs(30, 1) == [(1, 10), (1, 20)]
    assert runs(30, 2) == [(2, 30)]
    assert runs(29, 2) == [(1, 10), (1, 20)]


def test_names_are_shown_as_they_are(headroom):
    task = {"id": "song [live] [/]", "models": [], "after": []}
    problem = {"schema": "headroom/problem/1", "limit_bytes": 1, "models": {}, "tasks": [task]}
    Path("p.json").write_text(json.dumps(problem), encoding="utf-8")
    result = headroom("plan", "--problem", "p.json")
    assert result.code == 0, result.err
    assert task["id"] in result.out


def test_a_tiers_streams_reach_the_plan(two):
    for streams in (1, 2):
        plan = json.loads(two("plan", *TWELVE, f"tier.streams={streams}", "--format", "json", toy=True).out)
        assert max(len(step["tasks"]) for step in plan["steps"] if step["op"] == "run") == streams


# -- a smaller card -------------------------------------------------------------------------------------------------

BIG = Card("NVIDIA GeForce RTX 4090", 24 * GIB, (8, 9))
FOUND = Detection(Hardware((BIG,)), "high_end", "", BIG)


@pytest.mark.parametrize("kind", ["auto", "cuda"])
def test_a_card_held_smaller_has_the_tier_of_a_smaller_card(monkeypatch, kind):
    monkeypatch.setattr(detection, "detect", lambda *a, **k: FOUND)
    assert detected_tier(DeviceSpec(kind), [conf_dir()]) == "high_end"
    assert detected_tier(DeviceSpec(kind, total=4 * GIB), [conf_dir()]) == "modest"
    with pytest.raises(UsageError, match=r"MAX_CUDA_VRAM.*24"):
        detected_tier(DeviceSpec(kind, total=32 * GIB), [conf_dir()])


def test_a_real_card_is_opened_smaller_and_the_limit_with_it(headroom, monkeypatch):
    def fake(spec, *, total=None, **more):
        return SimulatedDevice(total_bytes=total or 24 * GIB, name=spec)

    monkeypatch.setattr(detection, "detect", lambda *a, **k: FOUND)
    monkeypatch.setattr(on_device, "open_device", fake)
    monkeypatch.setenv("MAX_CUDA_VRAM", "4")
    for tier, limit in (("auto", 3 * GIB), ("high_end", 4 * GIB)):  # auto is modest then
        plan = headroom("plan", "pipeline=dub", "text=x", f"tier={tier}", "--format", "json")
        assert json.loads(plan.out)["limit_bytes"] == limit
    assert "has no effect" not in headroom("plan", "pipeline=dub", "text=x").out


def test_a_simulated_card_is_held_too_and_its_limit_with_it(headroom, monkeypatch):
    monkeypatch.setenv("MAX_CUDA_VRAM", "2.5")
    dub = ("plan", "pipeline=dub", "text=x", "device=simulated", "device.name=RTX 4090")
    assert "tier low_end" in headroom(*dub).out.splitlines()[0]
    plan = json.loads(headroom(*dub, "tier=high_end", "--format", "json").out)
    assert plan["limit_bytes"] == 2.5 * GIB


def test_a_cards_size_is_nothing_to_the_cpu_and_that_is_said(headroom, monkeypatch):
    dub = ("plan", "pipeline=dub", "text=x", "device=cpu")
    free = json.loads(headroom(*dub, "--format", "json").out)["limit_bytes"]
    monkeypatch.setenv("MAX_CUDA_VRAM", "0.25")
    assert json.loads(headroom(*dub, "--format", "json").out)["limit_bytes"] == free
    message = headroom(*dub).out
    assert message.count("MAX_CUDA_VRAM has no effect") == 1
    typed = json.loads(headroom(*dub, "device.total=1GiB", "--format", "json").out)["limit_bytes"]
    assert typed == GIB  # a size typed is meant


# -- the allocator --------------------------------------------------------------------------------------------------

SURROUNDINGS = ("pipeline=surroundings", "tier=toy", "device=simulated", "device.total=1GiB", "memory_plot=false", "text=x",
                "++tier.allocator={garbage_collection_threshold: 0.6, max_split_size_mb: 128}")  # fmt: skip
SET = "garbage_collection_threshold:0.6,max_split_size_mb:128"


def surroundings(root="outputs"):
    return {path.parent.name: path.read_text(encoding="utf-8") for path in Path(root).rglob("surroundings.txt")}


def test_a_run_and_its_workers_see_the_tiers_allocator_settings(headroom):
    result = headroom("run", *SURROUNDINGS, toy=True)
    assert result.code == 0, result.err
    seen = surroundings()
    assert set(seen) == {"here", "there"}
    assert seen["there"] == f"PYTORCH_ALLOC_CONF={SET}\ntorch=False"
    assert seen["here"].startswith(f"PYTORCH_ALLOC_CONF={SET}\n")
    assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_what_the_user_has_set_wins(headroom, monkeypatch):
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "max_split_size_mb:64")
    assert headroom("run", *SURROUNDINGS, toy=True).code == 0
    assert all(
        text.startswith("PYTORCH_CUDA_ALLOC_CONF=max_split_size_mb:64\ntorch") for text in surroundings().values()
    )


@pytest.mark.slow
def test_each_job_of_a_sweep_has_its_own(headroom, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    sizes = "++tier.allocator.max_split_size_mb=32,64"
    result = headroom(
        "run", "-m", *SURROUNDINGS[:-1], "++tier.allocator.garbage_collection_threshold=0.5", sizes, toy=True
    )
    assert result.code == 0, result.err
    seen = {
        path.parents[3].name: path.read_text(encoding="utf-8") for path in Path("outputs").rglob("surroundings.txt")
    }
    assert [re.findall(r"max_split_size_mb:(\d+)", seen[job]) for job in ("0", "1")] == [["32"], ["64"]]
    assert all(text.endswith("torch=False") for text in seen.values())
    assert "PYTORCH_ALLOC_CONF" not in os.environ


@pytest.mark.parametrize(("version", "name"), [("2.8.0", "PYTORCH_CUDA_ALLOC_CONF"), ("2.9.1", "PYTORCH_ALLOC_CONF")])
def test_a_worker_with_another_torch_reads_them_under_its_own_name(tmp_path, monkeypatch, version, name):
    packages = tmp_path / "lib" / "python3.10" / "site-packages" / "torch"
    packages.mkdir(parents=True)
    (packages / "version.py").write_text(f"__version__ = '{version}'\n", encoding="utf-8")
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "max_split_size_mb:128")
    seen = environment_of(tmp_path / "bin" / "python")
    assert {key: value for key, value in seen.items() if key.endswith("ALLOC_CONF")} == {name: "max_split_size_mb:128"}


# -- the smallest tier on a machine without a card ------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        ("pipeline=dub", "text=hello"),
        ("pipeline=dub", "text=hello", "model/speak=espeak", "model/convert=world"),
        ("pipeline=ultrasinger", "input=song.wav"),
        ("pipeline=ultrasinger", "input=song.wav", "model/separate=center", "model/transcribe=pocketsphinx", "model/pitch=swift_f0"),
    ],
    ids=lambda given: " ".join(part.partition("=")[2] for part in given),
)  # fmt: skip
@pytest.mark.parametrize("residency", ["planned", "sequential", "normal"])
def test_low_end_plans_on_the_cpu_what_needs_no_weights(headroom, given, residency):
    soundfile.write("song.wav", np.zeros((44100, 2)), 44100)
    result = headroom("plan", *given, "tier=low_end", "device=cpu", f"tier.residency={residency}", "--format", "json")
    assert result.code == 0, result.err
    plan = json.loads(result.out)
    assert plan["limit_bytes"] == 2 * GIB
    assert 0 < plan["peak_bytes"] <= 2 * GIB
