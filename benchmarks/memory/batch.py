"""Ten items at the peak of one: the load and unload time that shows, against loading, using and unloading for every item.

The nodes sleep as long as a card is said to take, made shorter by SCALE; planning, engine, files and everything
else that takes wall time is real. Declared bytes are counted on a simulated card under the very limit one item alone needs.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.memory.harness import Bench, Timing, exact_minimum
from pipelines.devices.simulated import SimulatedDevice
from pipelines.schema.record import Event
from pipelines.schema.units import MIB

ITEMS = 10
CONTEXT = 500 * MIB
#: Of the published seconds; what is not a node's sleep is then counted ten times too heavy.
SCALE = 0.1


@dataclass(frozen=True)
class Stage:
    """weights, workspace: bytes. load, run: seconds of a card."""

    weights: int
    workspace: int
    load: float
    run: float


MB = 1_000_000
#: Bytes as `conf/model` declares them. Run seconds, published: Whisper large-v2 in 8 bits 59 s for 13 minutes (RTX 3070 Ti, its
#: README), here a song of three minutes; XTTS 3.8 s for 10 s of speech (RTX 3090, a vendor). Estimates of `conf/model`, for nobody
#: has published any: demucs, CREPE, RVC. Loads: the weights at 1.0 GB/s, between the 0.4 and 1.3 GB/s that ACE-Step's users log,
#: and 0.3 s to initialise.
CHAINS: Mapping[str, Sequence[Stage]] = {
    "ultrasinger": (
        Stage(168 * MB, 365 * MB, 0.5, 5.9),
        Stage(1612 * MB, 900 * MB, 1.9, 13.6),
        Stage(89 * MB, 285 * MB, 0.4, 9.1),
    ),
    "voice": (Stage(1868 * MB, 321 * MB, 2.2, 3.8), Stage(856 * MB, 310 * MB, 1.2, 0.8)),
}


def run(quick: bool) -> dict[str, Any]:
    """Rows by chain. quick: three items."""
    items = 3 if quick else ITEMS
    rows = {name: row(stages, items) for name, stages in CHAINS.items()}
    return {
        "items": items,
        "scale": SCALE,
        "chains": rows,
        "bars": {
            "the same peak": all(each["planned"]["peak_bytes"] <= each["each"]["peak_bytes"] for each in rows.values()),
            "exposed load and unload time at most 1/5": quick or all(each["exposed"] <= 0.2 for each in rows.values()),
        },
    }


def row(stages: Sequence[Stage], items: int) -> dict[str, Any]:
    """Both ways under the limit that one item needs, as seconds of a card."""
    sizes = [(stage.weights, stage.workspace) for stage in stages]
    limit = exact_minimum(sizes, CONTEXT)
    planned = carried_out(stages, limit, items)
    alone = [carried_out(stages, limit, 1) for _ in range(items)]
    each = {
        "peak_bytes": max(one["peak_bytes"] for one in alone),
        "loads": sum(one["loads"] for one in alone),
        **{key: round(sum(one[key] for one in alone), 2) for key in ("wall_seconds", "run_seconds", "exposed_seconds")},
    }
    return {
        "limit_bytes": limit,
        "planned": planned,
        "each": each,
        "exposed": round(planned["exposed_seconds"] / each["exposed_seconds"], 3),
        "times_faster": round(each["wall_seconds"] / planned["wall_seconds"], 3),
    }


def carried_out(stages: Sequence[Stage], limit: int, items: int) -> dict[str, Any]:
    """One run of the engine. exposed_seconds: wall time less what the nodes' runs took, told as seconds of a card."""
    timing = Timing(
        tuple(stage.load * SCALE for stage in stages), tuple(stage.run * SCALE for stage in stages)
    )  # fmt: skip
    bench = Bench([(s.weights, s.workspace) for s in stages], limit, items=items, context=CONTEXT, timing=timing)
    device = SimulatedDevice(total_bytes=limit, context=CONTEXT, track=False)
    job = bench.job()  # planning is not loading
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        outcome = bench.run(device, Path(folder), job)
        wall = time.perf_counter() - begun
    spent = sum(timing.spent)
    return {
        "peak_bytes": outcome.measured_peak_bytes,
        "loads": _loads(bench.events),
        "wall_seconds": round(wall / SCALE, 2),
        "run_seconds": round(spent / SCALE, 2),
        "exposed_seconds": round((wall - spent) / SCALE, 2),
    }


def _loads(events: Sequence[Event]) -> int:
    return sum(event.kind == "step_finished" and event.data["op"] == "load" for event in events)
