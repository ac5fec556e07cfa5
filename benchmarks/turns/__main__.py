"""`python -m benchmarks.turns [--quick]`: one song with the same variants at two limits, results/turns.json.

At the first limit every model stays loaded (tier.residency=normal); the second is the least at which there is a plan at all,
so that models take turns. Both are runs of the command line. Bars: every step's measured peak is under the limit, the second
limit is below what all need together, and the artifacts are the same.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.memory.__main__ import machine
from pipelines.schema.units import MIB

RESULTS = Path(__file__).parents[1] / "results" / "turns.json"
HEADROOM = (sys.executable, "-m", "pipelines.cli.main")
VARIANTS = ("model/separate=center", "model/transcribe=pocketsphinx")
GENEROUS = 4096 * MIB


def headroom(*words: str) -> str:
    """What the command prints. Raises `CalledProcessError` where it fails."""
    return subprocess.run([*HEADROOM, *words], check=True, capture_output=True, text=True).stdout


def least_limit(job: list[str]) -> int:
    """The least limit, in whole MiB, that the planner finds a plan for: each refusal says what is needed at least."""
    limit = MIB
    while True:
        requested = [*HEADROOM, "plan", *job, f"tier.limit={limit}", "--format", "json"]
        fields = json.loads(subprocess.run(requested, capture_output=True, text=True, check=False).stdout)
        if "needed_bytes" not in fields:
            return limit
        limit = max(-(-int(fields["needed_bytes"]) // MIB), limit // MIB + 1) * MIB


def run(job: list[str], limit: int, residency: str, outputs: Path) -> dict[str, Any]:
    """One run at `limit` bytes: its plan's steps, its measured peaks, its artifacts."""
    headroom(
        "run", *job, f"tier.limit={limit}", f"tier.residency={residency}", f"outputs_dir={outputs}", "memory_plot=false"
    )
    (folder,) = [path.parent for path in outputs.rglob("run.json")]
    record, plan = json.loads((folder / "run.json").read_text()), json.loads((folder / "plan.json").read_text())
    peaks = [step["measured_peak_bytes"] for step in record["steps"] if step.get("measured_peak_bytes")]
    return {
        "limit_bytes": limit,
        "planned_peak_bytes": plan["peak_bytes"],
        "unloads": sum(step["op"] == "unload" for step in plan["steps"]),
        "highest_measured_bytes": max(peaks),
        "steps_under_the_limit": all(peak <= limit for peak in peaks),
        "seconds": record["seconds"],
        "artifacts": record["artifacts"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turns", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="the smaller pitch model and 8 seconds; nothing is written"
    )
    given = parser.parse_args()
    pitch, seconds = ("crepe_tiny", "8") if given.quick else ("crepe_full", "20")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        headroom("sample", "--out", str(folder / "song"), "--seconds", seconds)
        job = ["pipeline=ultrasinger", f"input={folder / 'song' / 'song.wav'}",
               f"lyrics={folder / 'song' / 'lyrics.txt'}", *VARIANTS, f"model/pitch={pitch}"]  # fmt: skip
        together = run(job, GENEROUS, "normal", folder / "together")
        turns = run(job, least_limit(job), "planned", folder / "turns")
    same = together.pop("artifacts") == turns.pop("artifacts")
    bars = {
        "every step under the limit, all together": together["steps_under_the_limit"],
        "every step under the limit, taking turns": turns["steps_under_the_limit"],
        "all together need more than the second limit": together["planned_peak_bytes"] > turns["limit_bytes"],
        "models unloaded only where they take turns": turns["unloads"] > together["unloads"] == 0,
        "artifacts identical": same,
    }
    found = {"pitch": pitch, "together": together, "turns": turns, "bars": bars, "machine": machine()}
    print(json.dumps(found, indent=1))
    if not given.quick:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    return 0 if all(bars.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
