"""python -m benchmarks.planner [--quick] [--set NAME] [--ssp FOLDER] [--oracle SECONDS]: the table of docs/figures.md.

Writes every row, losses too, to benchmarks/results/planner.{json,csv}, the table to planner.md, and prints it.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import platform
from collections.abc import Iterator
from pathlib import Path

from benchmarks.planner import ssp
from benchmarks.planner.generators import SETS, Case, cases
from benchmarks.planner.rows import Row, row, summary

#: CP-SAT is asked about the first so many problems of these sets.
ORACLE_SETS, ORACLE_CASES = ("small", "small, outputs", "fifteen", "fifteen, outputs"), 5
RESULTS = Path(__file__).parents[1] / "results"


def main() -> None:
    args = _arguments()
    rows: list[Row] = []
    for made in _rows(args):
        rows.append(made)
        print(f"{made.name}: {made.cost} in {made.plan_seconds:.2f} s, bound {made.lower_bound}", flush=True)
    if not rows:
        return
    _write(rows, args)
    print("\n" + table(rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planner", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a few problems of most sets, under 40 s; nothing is written"
    )
    parser.add_argument("--set", action="append", default=[], choices=[*SETS, "ssp"], help="only this set (repeatable)")
    parser.add_argument(
        "--odd", action="store_true", help="the seeds for tuning instead of those reported; nothing is written"
    )
    parser.add_argument("--ssp", type=Path, metavar="FOLDER", help="public tool-switching instances, with best.csv")
    parser.add_argument("--oracle", type=float, default=0.0, metavar="SECONDS", help="ask CP-SAT too on the small sets")
    return parser.parse_args()


def _rows(args: argparse.Namespace) -> Iterator[Row]:
    for name in args.set or SETS:
        if name in SETS:
            for case in cases(name, quick=args.quick, odd=args.odd):
                requested = name in ORACLE_SETS and case.seed < 2 * ORACLE_CASES
                yield row(case, oracle_seconds=args.oracle if requested else 0.0)
    if args.ssp is not None and (not args.set or "ssp" in args.set):
        known = ssp.best_known(args.ssp)
        for name in sorted(known)[:: 6 if args.quick else 1]:
            case = Case("ssp", 0, ssp.read(args.ssp / name))
            yield _named(row(case, best_known=known[name]), name)


def _named(made: Row, name: str) -> Row:
    from dataclasses import replace

    return replace(made, name=f"ssp/{name}")


def table(rows: list[Row]) -> str:
    """The sets side by side, as markdown."""
    columns = (
        "set", "planned", "proved optimal", "compulsory bound met", "gap, median (mean)",
        "extra loads over the best baseline's", "lost", "core seconds, median (most)",
    )  # fmt: skip
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    for name in dict.fromkeys(r.set for r in rows):
        s = summary([r for r in rows if r.set == name])
        count = s["problems"]
        lines.append(
            f"| {name} | {s['planned']}/{count} (baselines {s['baseline_planned']}) | {s['proved']} | {s['compulsory_met']} "
            f"| {_percent(s['median_gap'])} ({_percent(s['mean_gap'])}) | {_percent(s['median_share_of_baseline'])} "
            f"| {s['lost_to_a_baseline']} | {s['median_seconds']:.2f} ({s['most_seconds']:.2f}) |"
        )
    growth = exponent(rows)
    tail = "" if growth is None else f"\nPlanning time grows as tasks^{growth:.2f} over the merged sets.\n"
    return "\n".join(lines) + "\n" + tail + oracle_line(rows)


def oracle_line(rows: list[Row]) -> str:
    """What CP-SAT made of the problems it was asked about, in a sentence."""
    requested = [r for r in rows if r.cpsat is not None]
    if not requested:
        return ""
    proved = sum(bool(r.cpsat and r.cpsat["proved"]) for r in requested)
    below = sum(_cheaper(r) for r in requested)
    return f"\nCP-SAT proved {proved} of the {len(requested)} problems it was asked about and found {below} cheaper plans.\n"


def _cheaper(r: Row) -> bool:
    found = r.cpsat["cost"] if r.cpsat else None
    return isinstance(found, float) and (r.cost is None or found < r.cost - 1e-3)


def _percent(value: object) -> str:
    return "-" if value is None else f"{100 * float(str(value)):.1f} %"


def exponent(rows: list[Row]) -> float | None:
    """Slope of log planning seconds over log tasks, from 1k tasks up; None with fewer than two sizes."""
    points = [
        (math.log(r.tasks), math.log(r.plan_seconds)) for r in rows if r.set.startswith("merged") and r.tasks >= 900
    ]
    if len({round(x) for x, _ in points}) < 2:
        return None
    mean_x, mean_y = (sum(axis) / len(points) for axis in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread


def _write(rows: list[Row], args: argparse.Namespace) -> None:
    if args.quick or args.odd or args.set:
        return
    RESULTS.mkdir(exist_ok=True)
    sets = {name: summary([r for r in rows if r.set == name]) for name in dict.fromkeys(r.set for r in rows)}
    flat = [r.flat() for r in rows]
    about = {
        "machine": machine(),
        "python": platform.python_version(),
        "seeds": "even",
        "growth_exponent": exponent(rows),
    }
    oracle = {r.name: r.cpsat for r in rows if r.cpsat is not None}
    record = {**about, "sets": sets, "rows": flat, "cpsat": oracle}
    (RESULTS / "planner.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    with (RESULTS / "planner.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(flat[0]))
        writer.writeheader()
        writer.writerows(flat)
    (RESULTS / "planner.md").write_text(table(rows), encoding="utf-8")


def machine() -> str:
    """Processor and core count, as the system names them."""
    import os

    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    return f"{cpu}, {os.cpu_count()} cores, {platform.system()}"


if __name__ == "__main__":
    main()
