"""python -m benchmarks.adaptive [--quick] [--only PART]: figures of the adaptive control, written to benchmarks/results/adaptive.json."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.adaptive import detection, first_sound, latency, low_vram, yielding

RESULTS = Path(__file__).parents[1] / "results" / "adaptive.json"


def main() -> None:
    args = _arguments()
    quick = args.quick
    parts: dict[str, Callable[[], Any]] = {
        "detection": detection.result,
        "latency": lambda: latency.table(40 if quick else 1000, (2,) if quick else (2, 4)),
        "yielding": lambda: yielding.result(1.5 if quick else 10.0),
        "low_vram": lambda: low_vram.result(0.05 if quick else 1.0),
        "first_sound": lambda: first_sound.result(sentences=1 if quick else 4, runs=1 if quick else 5),
    }
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() and not quick else {}
    for name, measure in parts.items():
        if args.only in (None, name):
            found[name] = measure()
            print(f"## {name}\n{_shown(found[name])}\n", flush=True)
    if not quick:
        found["machine"] = {
            "python": platform.python_version(),
            "cores": len(os.sched_getaffinity(0)),
            "system": platform.system(),
        }
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adaptive", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, under a minute; nothing is written")
    parser.add_argument(
        "--only", choices=["detection", "latency", "yielding", "low_vram", "first_sound"], help="one part"
    )
    return parser.parse_args()


def _shown(part: Any) -> str:
    if not isinstance(part, list):
        return json.dumps(part, indent=1)
    head = "| tier | RTF | jitter | first audio median / 95 % / max (allowed) | avoidable gaps | unavoidable | utilisation (range), held |"
    lines = [head, "|" + " --- |" * 7]
    for row in part:
        low, high = row["utilisation_range"]
        lines.append(
            f"| {row['tier']} | {row['rtf']:.2f} | {row['jitter']} | {row['first_audio_median']:.2f} / {row['first_audio_95']:.2f} / "
            f"{row['first_audio_max']:.2f} ({row['first_audio_allowed']:.1f}) | {row['avoidable_gaps']} | "
            f"{row['utterances_with_unavoidable_gaps']} of {row['utterances']} | "
            f"{row['utilisation_mean']:.2f} ({low:.2f}-{high:.2f}), {row['in_range_of_those']} of {row['fast_enough_to_rest']} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
