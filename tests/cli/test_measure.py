"""`headroom measure`: what it measured is remembered under the device a run will ask for."""

import json
from pathlib import Path

import pytest
import yaml

from pipelines.devices import detect
from pipelines.devices.detect import Detection
from pipelines.footprints import measurement
from pipelines.footprints.regression import regress
from pipelines.footprints.store import Observation
from pipelines.paths import user_folders
from pipelines.schema.hardware import Card, Hardware
from tests.devices.fakes import FakeCard

CONF = Path(__file__).parents[2] / "conf" / "model"


@pytest.mark.parametrize("given", [(), ("device=cuda",)])
def test_a_cards_measurements_are_found_again_by_a_run_on_it(headroom, monkeypatch, given):
    card, requested = Card("Fake 8 GB", 8_000_000_000, (8, 9)), []
    monkeypatch.setattr("pipelines.devices.cuda.Nvml", FakeCard)
    monkeypatch.setattr(detect, "detect", lambda **_: Detection(Hardware((card,), 1, 1, 1), "mid_range", "", card))

    def measured(variant, sizes, *, device, **_):
        requested.append(device)
        seen = Observation("run", 5, 0.1, source="driver")
        return measurement.Measurement(variant.name, 1, 1, 0, 0, 0.1, 0.1, "driver", (seen,), regress([seen.sample()]))

    monkeypatch.setattr(measurement, "measure", measured)
    assert headroom("measure", "pitch/crepe_tiny", *given).code == 0
    assert requested == [{"spec": "cuda:0", "total": 8_000_000_000}]
    (line,) = user_folders().footprints.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["key"]["device"] == "cuda/Fake 8 GB"


def test_what_is_measured_in_an_environment_of_its_own_can_ask_the_driver_there():
    message = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in CONF.glob("*/*.yaml")]
    own = [one["environment"] for one in message if one.get("environment") and "cuda" in one["footprint"]["context"]]
    assert own
    assert all(any(package.startswith("nvidia-ml-py==") for package in packages) for packages in own)
