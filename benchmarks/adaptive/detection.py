"""The card table of the tests, counted: name, reported memory and compute capability in, tier out."""

from __future__ import annotations

import runpy
from pathlib import Path

from pipelines.schema.hardware import Card, classify

_TABLE = Path(__file__).parents[2] / "tests" / "schema" / "test_hardware.py"


def result() -> dict[str, object]:
    cards = runpy.run_path(str(_TABLE))["CARDS"]
    found = [(name, classify(Card(name, mib * 1024**2, compute))[0], tier) for name, mib, compute, tier in cards]
    wrong = [{"card": name, "found": got, "expected": tier} for name, got, tier in found if got != tier]
    return {"cards": len(found), "right": len(found) - len(wrong), "wrong": wrong}
