"""Every variant as a user has it: planned, loaded, run and unloaded by the command line, on tiny weights under its real-size figures.

On a simulated card, whose tensors are counted one by one: what is over the plan or does not come back is an alert in the record.
"""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from pipelines.schema.node import Plain
from pipelines.schema.roles import ROLES
from tests.nodes.test_contract import TRIED, python_of, settings, voice

#: The libraries' own warnings, on import and use.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
CARD = ("device=simulated", "device.total=24GiB", "memory_plot=false")


@pytest.fixture
def one(headroom, made_weights, tmp_path, monkeypatch):
    """Run a pipeline of one node, the variant's own: (variant, more overrides) -> result and what the run left."""
    for role in ROLES.values():
        ports = {name: port.type for name, port in role.inputs.items() if name in ("audio", "text", "voice")}
        node = {"role": role.name, "in": {name: f"item.{name}" for name in ports}}
        path = tmp_path / "conf" / "pipeline" / f"one_{role.name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump({"items": ports, "nodes": {role.name: node}}))

    def call(name, *more, seconds=0.9):
        role, stem = name.split("/")
        if settings(name).get("environment"):
            monkeypatch.setenv("HEADROOM_CACHE", str(python_of(name).parents[3]))
        soundfile.write("sound.wav", voice(seconds, 16000, 2).read().T, 16000)
        soundfile.write("voice.wav", voice(2.0, 24000).read().T, 24000)
        given = ("text=Hello there.",) if role == "speak" else ("input=sound.wav",)
        given += () if role not in ("speak", "convert") else ("voice=voice.wav", "voice_text=Some call me nature.")
        result = headroom("run", "--frozen", "-cd", "conf", f"pipeline=one_{role}", f"model/{role}={stem}", *given, *CARD,
                          f"weights_dir={made_weights}", f"accept_licence=[{stem}]", *more)  # fmt: skip
        return result, list(Path(f"outputs/one_{role}").rglob("run.json"))

    return call


def left(records):
    """The last run's record, and its events."""
    last = max(records, key=lambda path: path.stat().st_mtime_ns)
    events = last.with_name("events.jsonl").read_text(encoding="utf-8").splitlines()
    return json.loads(last.read_text(encoding="utf-8")), [json.loads(line) for line in events]


@pytest.mark.parametrize("name", TRIED)
def test_planned_loaded_run_and_unloaded(name, one):
    seconds = 0.15 if name == "pitch/crepe_full" else 0.9
    result, records = one(name, seconds=seconds)
    assert result.code == 0, result.err
    first, events = left(records)
    assert [step["op"] for step in first["steps"]] == (["run"] if is_plain(name) else ["load", "run", "unload"])
    run = next(step for step in first["steps"] if step["op"] == "run")
    assert run["measured_peak_bytes"] <= run["predicted_peak_bytes"]
    # Not `drift`: a simulated card also counts what a load holds on the host for a moment.
    assert not [event for event in events if event["event"] == "alert" and event["what"] != "drift"]
    assert first["artifacts"]

    peak = first["predicted_peak_bytes"]
    if not peak:
        return  # nothing of it is on a card
    again, records = one(name, f"tier.limit={peak}", seconds=seconds)
    assert again.code == 0, again.err
    second, _ = left(records)
    assert (second["limit_bytes"], second["artifacts"]) == (peak, first["artifacts"])
    refused, records = one(name, f"tier.limit={peak - 1}", "tier.cpu_fallback=[]", seconds=seconds)
    assert refused.code == 4
    assert not left(records)[0].get("steps")


def is_plain(name):
    module, _, kind = settings(name)["_target_"].rpartition(".")
    return issubclass(getattr(importlib.import_module(module), kind), Plain)


def test_memory_that_ends_up_smaller_than_said_is_met_with_smaller_batches_and_the_same_contour(one):
    """Its file says that a batch takes next to nothing; the card refuses 128 frames at once, and the ladder halves them."""
    lie = (
        "model.pitch.footprint.workspace={base:1MiB,per_batch:1B}",
        "model.pitch.footprint.context={cuda:0}",
        "tier.limit=24MiB",
    )
    contours = []
    for more in ((), lie):
        result, records = one("pitch/crepe_tiny", *more, seconds=1.6)
        assert result.code == 0, result.err
        contours.append(max(Path().rglob("contour.npz"), key=lambda path: path.stat().st_mtime_ns))
    record, events = left(records)
    assert [event["rung"] for event in events if event["event"] == "rung"][-1] == "smaller"
    assert record["limit_bytes"] == 24 * 2**20
    with np.load(contours[0]) as whole, np.load(contours[1]) as chunked:
        for key in whole:
            assert np.allclose(whole[key], chunked[key], atol=1e-6, rtol=0), key
