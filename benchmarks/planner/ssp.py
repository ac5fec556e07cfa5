"""Public instances of job sequencing and tool switching as problems. The files are not ours: name a folder that has them.

Format: jobs, tools, capacity, then a row of zeros and ones for each tool (which jobs need it). A tool is a model of
weight 1 and load 1 s, a job a task, the capacity the limit. Published values count the loads beyond the first fill of
the magazine, so a plan's load seconds are that value + the capacity.
"""

from __future__ import annotations

import csv
from pathlib import Path

from pipelines.schema.problem import Model, Problem, Task


def read(path: Path) -> Problem:
    """The problem of one instance file. Raises `ValueError` where the numbers are too few or too many."""
    numbers = [int(word) for word in path.read_text(encoding="ascii").split()]
    jobs, tools, capacity = numbers[:3]
    rows = numbers[3:]
    if len(rows) != jobs * tools or set(rows) - {0, 1}:
        raise ValueError(f"{path.name} says {tools} rows of {jobs} zeros and ones, but holds {len(rows)} numbers.")
    models = [Model(f"tool{t}", 1, 1.0, 1.0, 1) for t in range(tools)]
    todo = [Task(f"job{j}", tuple(sorted(f"tool{t}" for t in range(tools) if rows[t * jobs + j]))) for j in range(jobs)]
    return Problem.of(models, todo, capacity)


def best_known(folder: Path) -> dict[str, float]:
    """Total loads of the best published value by file name, from `best.csv` beside the instances."""
    with (folder / "best.csv").open(encoding="ascii", newline="") as lines:
        return {
            row["file"]: float(row["best"]) + float(row["capacity"]) for row in csv.DictReader(lines) if row["best"]
        }


def hgs_seconds(folder: Path) -> dict[str, float]:
    """Seconds the published solver took, from the same file."""
    with (folder / "best.csv").open(encoding="ascii", newline="") as lines:
        return {row["file"]: float(row["hgs_seconds"]) for row in csv.DictReader(lines) if row["hgs_seconds"]}
