"""Randomised runs under random limits, with real RAM on `cpu` and by ledger on `simulated`: never over, never refused in vain."""

from __future__ import annotations

import random
import statistics
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.memory.harness import Bench, exact_minimum, some_sizes
from pipelines.devices.protocol import Device
from pipelines.devices.registry import open_device
from pipelines.devices.simulated import SimulatedDevice
from pipelines.schema.errors import DoesNotFit, HeadroomError
from pipelines.schema.units import GIB, MIB

#: On RAM, what an interpreter's own allocations may add between two looks.
_SLACK = 8 * MIB
_MARGIN = 0.05


def run(quick: bool) -> dict[str, Any]:
    """100 carried-out runs on RAM and 120 by ledger (quick: 15 and 30), and as many refusals as came between them."""
    rng = random.Random(4)
    rows = [
        *_until(15 if quick else 100, lambda: _one(rng, real=True)),
        *_until(30 if quick else 120, lambda: _one(rng, real=False)),
    ]
    ran = [row for row in rows if row["ended"] == "ran"]
    use = sorted(row["peak"] / row["limit"] for row in ran)
    return {
        "runs": len(ran),
        "runs_by_device": dict(Counter(row["device"] for row in ran)),
        "refused": sum(row["ended"] == "refused" for row in rows),
        "utilisation_median": round(statistics.median(use), 3),
        "utilisation_lowest": round(use[0], 3),
        "utilisation_highest": round(use[-1], 3),
        "bad": [row for row in rows if not row["ok"]],
        "bars": {
            "peak at most the limit in every run": all(row["peak"] <= row["limit"] for row in ran),
            "refused exactly where the minimum is above the limit": all(row["ok"] for row in rows),
            "200 carried-out runs or more": len(ran) >= 200 or quick,
        },
    }


def _until(count: int, one: Callable[[], dict[str, Any]]) -> list[dict[str, Any]]:
    """Runs until `count` of them were not refused."""
    rows: list[dict[str, Any]] = []
    while sum(row["ended"] != "refused" for row in rows) < count:
        rows.append(one())
    return rows


def _one(rng: random.Random, *, real: bool) -> dict[str, Any]:
    sizes = some_sizes(rng, rng.randint(2, 6))
    device: Device = open_device("cpu") if real else SimulatedDevice(total_bytes=GIB, track=False)
    device.reclaim()
    context = device.used_bytes() + _SLACK if real else 0
    margin = _MARGIN if real else 0.0
    planned = [(round(w * (1 + margin)) + 1, round(s * (1 + margin)) + 1) if real else (w, s) for w, s in sizes]
    least = exact_minimum(planned, context)
    limit = round(least * rng.choice([0.9, 0.99, 1.0, 1.0, 1.02, 1.1, 1.3, 1.8])) + (16 if real else 0)
    bench = Bench(sizes, limit, items=rng.randint(1, 3), context=context, margin=margin, real=real)
    fields: dict[str, Any] = {"device": device.kind, "limit": limit, "minimum": least, "peak": 0, "ended": "refused"}
    try:
        with tempfile.TemporaryDirectory() as folder:
            outcome = bench.run(device, Path(folder))
        fields |= {"peak": outcome.measured_peak_bytes, "ended": "ran"}
    except DoesNotFit:
        pass
    except HeadroomError as error:
        fields |= {"ended": f"failed: {error}"}
    fits = least <= limit
    ok = fields["ended"] == ("ran" if fits else "refused") and fields["peak"] <= limit
    return {**fields, "ok": ok}
