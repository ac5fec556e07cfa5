"""`python -m benchmarks.memory [--quick] [PART ...]`: measure, print, and keep results/memory.json (or memory_quick.json).

`--table` measures nothing: it remakes the table of docs/figures.md from what is kept.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.memory.table import write

PARTS = ("limits", "faults", "loads", "estimates", "pipelines", "batch")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs and only the smaller networks")
    parser.add_argument(
        "--table", action="store_true", help="remake the table of docs/figures.md from the results, and nothing else"
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    given = parser.parse_args()
    strange = set(given.parts) - set(PARTS)
    if strange:
        parser.error(f"unknown part {', '.join(sorted(strange))}; there are {', '.join(PARTS)}")
    results = Path(__file__).parents[1] / "results"
    if given.table:
        write(results.parents[1] / "docs" / "figures.md", json.loads((results / "memory.json").read_text()))
        return 0
    path = results / ("memory_quick.json" if given.quick else "memory.json")
    failed = []
    for part in given.parts or PARTS:
        begun = time.perf_counter()
        module = importlib.import_module(f"benchmarks.memory.{part}")
        for found in module.pieces(given.quick) if hasattr(module, "pieces") else [module.run(given.quick)]:
            found |= {"seconds": round(time.perf_counter() - begun, 1), "machine": machine()}
            _keep(path, part, found)  # of a long part what there is so far
        for bar, met in found["bars"].items():
            print(f"{part:10} {'ok  ' if met else 'FAIL'} {bar}")
            failed += [] if met else [bar]
    print(path)
    return 1 if failed else 0


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    import psutil

    name = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            name = line.partition(":")[2].strip()
            break
    load = os.getloadavg()[0]
    return {
        "cpu": name,
        "cores": os.cpu_count(),
        "ram_bytes": psutil.virtual_memory().total,
        "load_average_at_end": round(load, 1),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }


def _keep(path: Path, part: str, found: dict[str, Any]) -> None:
    """Each part is replaced on its own, so that a long benchmark can be run in pieces."""
    known = json.loads(path.read_text()) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**known, part: found}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
