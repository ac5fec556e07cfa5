"""Problems whose plans are recorded in golden.json: `python -m tests.plan.golden` writes it anew after a change that is meant.

Few and small, but of every shape that some part of the planner is made for. Before writing, it prints what each plan
costs now and cost before, so that a change that makes plans dearer is seen.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

from benchmarks.planner import generators
from pipelines.plan.planner import plan
from pipelines.schema.errors import DoesNotFit
from pipelines.schema.problem import Problem

FILE = Path(__file__).parent / "golden.json"
EFFORT = 4_000
_SHAPES = {
    "small": (generators.small, 4),
    "kept outputs": (partial(generators.small, tasks=14, outputs=True), 6),
    "one component": (partial(generators.planted, tasks=40), 5),
    "hard component": (partial(generators.planted, tasks=150), 2),
    "equal items": (partial(generators.identical, items=12), 4),
    "several pipelines": (partial(generators.merged, tasks=60), 4),
}
#: Streams and objective by the number of the problem, modulo four; the first stays as it was made.
_VARIED = {1: (2, "load"), 2: (3, "makespan"), 3: (1, "makespan")}


def problems() -> dict[str, Problem]:
    """The problems by name. Of each shape some are for several streams or the makespan, with load peaks."""
    made = {}
    for shape, (make, count) in _SHAPES.items():
        for number in range(count):
            problem, draw = make(2 * number + 1), Random(number)
            if number % 4:
                streams, objective = _VARIED[number % 4]
                problem = _varied(problem, draw, streams=streams, objective=objective)
            made[f"{shape} {number}"] = problem
    made["no limit"] = replace(made["kept outputs 1"], limit_bytes=None)
    made["models of one size"] = _uniform(made["several pipelines 0"])
    return made


def record(problem: Problem) -> dict[str, object]:
    """What is remembered of a problem's plan."""
    try:
        made = plan(problem, effort=EFFORT)
    except DoesNotFit as error:
        return {"refused": error.refusal.reason}
    steps = hashlib.sha256(repr(made.steps).encode()).hexdigest()[:16]
    return {
        "load_seconds": round(made.load_seconds, 9), "makespan_seconds": round(made.makespan_seconds, 9),
        "lower_bound": round(made.lower_bound, 9),
        "peak_bytes": made.peak_bytes, "expansions": made.expansions, "steps": steps,
    }  # fmt: skip


def _varied(problem: Problem, draw: Random, *, streams: int, objective: str) -> Problem:
    models = [
        replace(
            model, shareable=draw.random() < 0.5, load_peak_bytes=int(model.weights_bytes * draw.choice((1, 1, 1.3)))
        )
        for model in problem.models.values()
    ]
    limit = int((problem.limit_bytes or 0) * 1.1)
    return Problem.of(
        models, problem.tasks, limit, streams=streams, objective=objective, context_bytes=problem.context_bytes
    )


def _uniform(problem: Problem) -> Problem:
    size = max(model.weights_bytes for model in problem.models.values())
    models = [
        replace(model, weights_bytes=size, load_peak_bytes=size, load_seconds=2.0, reload_seconds=1.0)
        for model in problem.models.values()
    ]
    room = 3 * size + max(task.workspace_bytes for task in problem.tasks)
    return Problem.of(models, problem.tasks, room)


def main() -> None:
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    rows = {name: record(problem) for name, problem in problems().items()}
    for name, row in rows.items():
        if row != known.get(name):
            print(f"{name}: {known.get(name)} -> {row}")
    FILE.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
