"""LOW_VRAM on the voice service of document 001 (docs/seeds.md): XTTS, F5 and RVC.

Peaks by tracked tensors on a simulated card, load time by the planner.

The models are tensors of the real sizes filled with random numbers, in place of networks nobody may download here; workspaces are
tensors too. Sizes: XTTS v2 fp32 1870 MB (published file), F5 v1 fp16 with Vocos 705 MB, RVC fp32 with HuBERT and RMVPE 821 MB;
workspaces computed from the architectures for a sentence of 28 s: XTTS 662 MB, F5 100 MB, RVC 1131 MB.
"""

from __future__ import annotations

import gc
from typing import Any

from pipelines.devices.simulated import SimulatedDevice
from pipelines.plan.planner import plan
from pipelines.run.residency import Residency
from pipelines.schema.problem import Model, Problem, Task

MB = 1_000_000
WEIGHTS = {"xtts": 1870 * MB, "f5": 705 * MB, "rvc": 821 * MB}
WORKSPACES = {"xtts": 662 * MB, "f5": 100 * MB, "rvc": 1131 * MB}
CONTEXT = 500 * MB
#: Bytes a second from disk to device. Source: 0.4 to 1.3 GB/s logged by ACE-Step users; the ratio below does not depend on it.
_SPEED = 1e9


def _tensor(size: int) -> Any:
    import torch

    return torch.randint(0, 255, (size,), dtype=torch.uint8)


def peak(policy: str, scale: float) -> int:
    """Highest bytes over a job that speaks with XTTS, then with F5, and converts both with RVC."""
    import torch

    device = SimulatedDevice(64_000 * MB, context=CONTEXT)
    residency, highest = Residency(policy, device=device), 0
    with torch.inference_mode():
        for name in ("xtts", "rvc", "f5", "rvc"):
            with device.watch() as reading, residency.use(name, _tensor, int(WEIGHTS[name] * scale)) as model:
                work = _tensor(int(WORKSPACES[name] * scale))
                assert len(model) == int(WEIGHTS[name] * scale)
                del work, model
            highest = max(highest, reading.peak_bytes)
    residency.close()
    gc.collect()
    return highest


def _problem(limit: int, batch: int) -> Problem:
    models = {n: Model(n, size, size / _SPEED, size / _SPEED, size) for n, size in WEIGHTS.items() if n != "f5"}
    tasks = []
    for item in range(batch):
        tasks.append(Task(f"{item}/speak", ("xtts",), WORKSPACES["xtts"], 4.0))
        tasks.append(Task(f"{item}/convert", ("rvc",), WORKSPACES["rvc"], 2.0, 0, (f"{item}/speak",)))
    return Problem(models, tuple(tasks), limit, CONTEXT)


def batch_of_ten() -> dict[str, object]:
    """XTTS then RVC for ten sentences: `sequential` loads for each; `planned` under the very peak that `sequential` has."""
    limit = CONTEXT + max(WEIGHTS[name] + WORKSPACES[name] for name in ("xtts", "rvc"))
    made = plan(_problem(limit, 10))
    sequential = 10 * sum(WEIGHTS[name] for name in ("xtts", "rvc")) / _SPEED
    work = 10 * (4.0 + 2.0)
    exposed = made.makespan_seconds - work
    return {
        "limit_bytes": limit,
        "planned_peak_bytes": made.peak_bytes,
        "sequential_exposed_load_seconds": round(sequential, 3),
        "planned_exposed_load_seconds": round(exposed, 3),
        "ratio": round(exposed / sequential, 3),
    }


def result(scale: float) -> dict[str, object]:
    """Peaks of `normal` and `sequential`, with and without the context a card's libraries hold."""
    normal, low = peak("normal", scale), peak("sequential", scale)
    return {
        "scale_of_sizes": scale,
        "normal_peak_bytes": normal,
        "sequential_peak_bytes": low,
        "saving": round(1 - low / normal, 3),
        "saving_without_context": round(1 - (low - CONTEXT) / (normal - CONTEXT), 3),
        "batch_of_ten": batch_of_ten(),
    }
