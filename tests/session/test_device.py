"""The device a command runs on, and what a person is told of the choice."""

from dataclasses import replace

import pytest

from pipelines.config.auto import detected_tier
from pipelines.config.catalog import conf_dir
from pipelines.devices import detect as detection
from pipelines.devices.detect import Detection
from pipelines.devices.simulated import SimulatedDevice
from pipelines.schema.errors import UsageError
from pipelines.schema.hardware import Card, Hardware
from pipelines.schema.settings import DeviceSpec, Tier
from pipelines.schema.units import GIB
from pipelines.session import device as on_device
from pipelines.session.device import find_device, limit_of
from tests.session.made import inventory

OLD = Card("NVIDIA GeForce GTX 1050", 2 * GIB, (6, 1))
BIG = Card("NVIDIA GeForce RTX 4090", 24 * GIB, (8, 9), index=1)


def settings(spec, tier=None):
    return inventory(device_spec=spec, tier=tier).settings


@pytest.fixture
def opened(monkeypatch):
    """What `open_device` was asked to open, where the machine has two cards and the second one is better."""
    requested: list[str] = []

    def open_it(spec, *, total=None, **_):
        requested.append(spec)
        return SimulatedDevice(total_bytes=total or 24 * GIB, name=spec)

    found = Detection(Hardware((OLD, BIG)), "high_end", "", BIG)
    monkeypatch.setattr(detection, "detect", lambda *_, **__: found)
    monkeypatch.setattr(on_device, "open_device", open_it)
    return requested


def test_auto_runs_on_the_card_whose_tier_it_takes(opened):
    for kind, spec, tier in (("auto", "cuda:1", "high_end"), ("cuda", "cuda:0", "low_end")):
        device, notes = find_device(settings(DeviceSpec(kind)))
        assert (device.name, notes) == (spec, ())
        assert detected_tier(DeviceSpec(kind), [conf_dir()]) == tier
    assert opened == ["cuda:1", "cuda:0"]


def test_a_card_torch_cannot_use_leaves_the_cpu_and_says_why(monkeypatch):
    found = Detection(Hardware((OLD,)), "cpu", "", None, notes=("cuda:0: torch has no code for it.",))
    monkeypatch.setattr(detection, "detect", lambda *_, **__: found)
    device, notes = find_device(settings(DeviceSpec("auto")))
    assert device.memory == "host"
    assert notes[0] == "cuda:0: torch has no code for it."
    assert "found no card: this runs on the CPU" in notes[1]


def test_no_streams_is_the_cpu_whatever_the_device():
    device, notes = find_device(settings(DeviceSpec("simulated", total=GIB), Tier("made", streams=0)))
    assert device.memory == "host"
    assert notes == ("tier.streams=0: everything runs on the CPU, and the tier's limit applies to its RAM.",)


def test_a_cards_size_is_a_cards_and_nothing_to_the_cpu(opened, monkeypatch):
    card, notes = find_device(settings(DeviceSpec("cuda", total=4 * GIB, cards_only=True)))
    assert (card.total_bytes, notes) == (4 * GIB, ())
    monkeypatch.undo()
    whole, _ = find_device(settings(DeviceSpec("cpu")))
    cpu, notes = find_device(settings(DeviceSpec("cpu", total=GIB // 4, cards_only=True)))
    assert cpu.total_bytes == whole.total_bytes
    assert "MAX_CUDA_VRAM has no effect" in notes[0]


def test_the_limit_is_the_smaller_one_and_an_explicit_one_above_the_device_is_refused():
    device = SimulatedDevice(total_bytes=4 * GIB, name="a card")
    spec = DeviceSpec("simulated")
    assert limit_of(settings(spec, Tier("all")), device) == 4 * GIB
    assert limit_of(settings(spec, Tier("small", limit_bytes=GIB)), device) == GIB
    large = settings(spec, Tier("large", limit_bytes=8 * GIB))
    assert limit_of(large, device) == 4 * GIB
    with pytest.raises(UsageError, match=r"more than a card has \(4,096 MiB\)"):
        limit_of(replace(large, explicit_limit=True), device)
