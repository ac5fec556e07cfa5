"""A new kind of device is one file and one line: with the toy's, everything works that works on the others."""

import json
import math
import re
from pathlib import Path

import pytest

from pipelines.devices import registry
from pipelines.devices.detect import MachineProbe, decide
from pipelines.schema.errors import SurroundingsFailed, UsageError
from pipelines.schema.units import GIB, MIB
from tests.devices.toy_device import ToyDevice, Vendor

ROOT = Path(__file__).parents[2]
TOY = ("pipeline=toy", "tier=toy", "device=toy", "text=x", "memory_plot=false")


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    """The line: it goes into `DEVICES` of pipelines/devices/registry.py."""
    monkeypatch.setattr(registry, "DEVICES", (ToyDevice, *registry.DEVICES))


def test_it_is_opened_by_its_name_and_number():
    assert isinstance(registry.open_device("toy:1"), ToyDevice)
    assert registry.open_device("toy").spec == "toy:0"
    with pytest.raises(SurroundingsFailed, match="no such toy card"):
        registry.open_device("toy:2")
    with pytest.raises(UsageError, match="more than Toy 6 GB has"):
        registry.open_device("toy", total=7 * GIB)


def test_its_cards_are_detected_and_rated():
    found = decide(MachineProbe().hardware())
    assert [card.spec for card in found.hardware.cards if card.kind == "toy"] == ["toy:0", "toy:1"]
    assert (found.card.spec, found.tier) == ("toy:0", "modest")


def test_auto_takes_it_where_its_probe_finds_the_best_card(headroom):
    planned = headroom("plan", *(word for word in TOY if word != "device=toy"), "device=auto", toy=True)
    assert planned.code == 0, planned.err
    assert "Toy 6 GB" in headroom("detect", "--force").out
    assert decide(MachineProbe().hardware()).card.kind == "toy"


def test_a_pipeline_is_planned_and_run_on_it_and_recorded(headroom):
    planned = headroom("plan", *TOY, "--format", "json", toy=True)
    assert planned.code == 0, planned.err
    assert json.loads(planned.out)["limit_bytes"] == 64 * MIB
    ran = headroom("run", *TOY, "tier.limit=300MiB", "device.index=1", toy=True)
    assert ran.code == 0, ran.err
    (file,) = Path("outputs").rglob("run.json")
    record = json.loads(file.read_text(encoding="utf-8"))
    assert record["device"] == {"kind": "toy", "name": "Toy 6 GB", "total_bytes": Vendor.total_bytes}
    runs = [step for step in record["steps"] if step["op"] == "run"]
    assert {step["source"] for step in runs} == {"declared"}
    assert max(step["measured_peak_bytes"] for step in runs) == Vendor.context_bytes + math.ceil(1.2 * 44 * MIB)


def test_a_tier_is_found_for_it_and_what_does_not_fit_is_refused(headroom):
    """`tier=auto` goes by the card; accelerator footprints count, as on a card of any maker."""
    listed = headroom("list", "variants", "tiers", "device.kind=toy")
    assert listed.code == 0, listed.err
    assert "tier modest, " in listed.out
    assert "Toy 6 GB" in listed.out
    assert headroom("plan", *TOY, "tier.limit=1MiB", toy=True).code == 4


def test_without_the_line_there_is_no_such_device(headroom, monkeypatch):
    monkeypatch.setattr(registry, "DEVICES", registry.DEVICES[1:])
    result = headroom("plan", *TOY, toy=True)
    assert result.code == 2
    assert "simulated" in result.err


def test_the_page_shows_the_code_that_is_tested_here():
    page = (ROOT / "docs" / "adding-a-device.md").read_text(encoding="utf-8")
    code = (ROOT / "tests" / "devices" / "toy_device.py").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    shown = [block for block in blocks if "DEVICES" not in block]
    assert len(shown) >= 3
    for block in shown:
        assert _lines(block) in _lines(code)


def _lines(text):
    """Without indentation and empty lines, which are the page's own."""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())
