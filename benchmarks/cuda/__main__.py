"""`python -m benchmarks.cuda`: the bars that need a card, kept as results/cuda_<card>.json. Exit 6 where there is none."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks.cuda.parts import Clockwork, returned, tracker_error, under_cap
from benchmarks.memory.__main__ import machine
from pipelines.devices.cuda import CudaDevice
from pipelines.devices.registry import open_device
from pipelines.schema.errors import ExitCode, SurroundingsFailed
from pipelines.schema.units import GIB, MIB


def main() -> int:
    try:
        device = open_device("cuda:0")
    except SurroundingsFailed as error:
        print(error)
        return int(ExitCode.SURROUNDINGS)
    assert isinstance(device, CudaDevice)
    found = measure_card(device)
    name = re.sub(r"\W+", "_", device.name).strip("_").lower()
    path = Path(__file__).parents[1] / "results" / f"cuda_{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")
    for part, row in found["parts"].items():
        print(f"{'ok  ' if row['ok'] else 'FAIL'} {part}: {row}")
    print(path)
    return 0 if all(row["ok"] for row in found["parts"].values()) else 1


def measure_card(device: CudaDevice) -> dict[str, Any]:
    """Every part on a real card."""
    import torch

    context = device.measure_context()
    clockwork = Clockwork(
        torch.cuda.synchronize, torch.cuda.reset_peak_memory_stats, torch.cuda.memory_allocated,
        torch.cuda.max_memory_allocated,
    )  # fmt: skip

    def deep() -> Any:
        return torch.nn.Sequential(*[torch.nn.Linear(8192, 8192, bias=False) for _ in range(8)]).eval()

    def wide() -> Any:
        layers = [torch.nn.Conv1d(1 if n == 0 else 256, 256, 9, padding=4) for n in range(6)]
        return torch.nn.Sequential(*layers).eval().to(device.torch_device)

    limit = min(4 * GIB, device.free_bytes() // 2)
    parts = {
        "bytes come back": returned(device, deep),
        "tracker against the allocator": tracker_error(
            device, clockwork, wide(), lambda: torch.zeros(1, 1, 16_000 * 20, device=device.torch_device)
        ),
        "peak under the cap": under_cap(
            device,
            limit,
            lambda size: torch.empty(size, dtype=torch.uint8, device=device.torch_device),
            [100 * MIB] * 80,
        ),
    }
    fields = {
        "card": device.name,
        "total_bytes": device.total_bytes,
        "context_bytes": context,
        "torch": torch.__version__,
    }
    return {**fields, "machine": machine(), "parts": parts}


if __name__ == "__main__":
    sys.exit(main())
