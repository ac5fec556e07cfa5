"""`python -m benchmarks.models [--quick] [PART ...]`: measure, print every bar, keep results/models_PART.json.

Real sizes, random weights; both sides of a ratio run one after the other in one run, each in a process of its own.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.models.apart import machine

PARTS = ("separate", "pitch", "speak", "convert", "transcribe")
RESULTS = Path(__file__).parents[1] / "results"


def main() -> int:
    """The exit code is 1 where a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter sounds; kept in models_PART_quick.json")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    given = parser.parse_args()
    strange = set(given.parts) - set(PARTS)
    if strange:
        parser.error(f"unknown part {', '.join(sorted(strange))}; there are {', '.join(PARTS)}")
    missed = [bar for part in given.parts or PARTS for bar, met in measure(part, given.quick).items() if not met]
    return 1 if missed else 0


def measure(part: str, quick: bool) -> dict[str, bool]:
    """The bars of `part`, printed as they are known, and its file written."""
    begun = time.perf_counter()
    found: dict[str, Any] = importlib.import_module(f"benchmarks.models.{part}").run(quick)
    found = {"machine": machine(), "seconds": round(time.perf_counter() - begun, 1), **found}
    path = RESULTS / f"models_{part}{'_quick' if quick else ''}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")
    for bar, met in found["bars"].items():
        print(f"{part:11} {'ok  ' if met else 'FAIL'} {bar}", flush=True)
    print(path, flush=True)
    bars: dict[str, bool] = found["bars"]
    return bars


if __name__ == "__main__":
    sys.exit(main())
