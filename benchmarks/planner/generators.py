"""The published problems: every one a function of its set's name and a seed. Odd seeds are for tuning, even ones for reporting.

Weights are those of audio models, 40 to 3000 MiB. A cold load reads them at 1 GB/s after half a second of set-up; a warm
reload copies them at 10 GB/s. `tightness` is the limit over the largest need of a single task: 1.0 barely runs at all.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from pipelines.schema.problem import Model, Problem, Task
from pipelines.schema.units import MIB

SIZES_MIB = (40, 80, 150, 160, 320, 480, 640, 900, 1200, 1550, 1900, 3000)


@dataclass(frozen=True, slots=True)
class Case:
    """One problem of a set."""

    set: str
    seed: int
    problem: Problem

    @property
    def name(self) -> str:
        return f"{self.set}/{self.seed}"


def small(seed: int, *, tasks: int | None = None, outputs: bool = False) -> Problem:
    """8 to 12 tasks of 1 to 3 models each under random precedence. With outputs: the limit is that of a planted plan."""
    draw = random.Random(f"small/{tasks}/{outputs}/{seed}")
    count = tasks or draw.randint(8, 12)
    models = _models(draw, draw.randint(6, 9), warm=draw.random() < 0.5)
    todo = [
        _task(draw, f"t{i}", draw.sample(models, draw.randint(1, 3)), _before(draw, i, 0.2), outputs)
        for i in range(count)
    ]
    problem = Problem.of(models, todo, None)
    return _planted(problem, draw) if outputs else _tightened(problem, draw.uniform(1.0, 1.3))


def identical(seed: int, *, items: int = 100) -> Problem:
    """`items` equal items x 4 stages, outputs on the device: room for a few items at a time."""
    draw = random.Random(f"identical/{items}/{seed}")
    models = _models(draw, 4, warm=True)
    stages = [(draw.randint(50, 800) * MIB, draw.randint(1, 20), draw.randint(10, 120) * MIB) for _ in models]
    todo = []
    for item in range(items):
        for stage, (model, (workspace, seconds, output)) in enumerate(zip(models, stages, strict=True)):
            before = (f"s{item}/{stage - 1}",) if stage else ()
            todo.append(Task(f"s{item}/{stage}", (model.id,), workspace, float(seconds), output, before))
    problem = Problem.of(models, todo, None)
    return replace(problem, limit_bytes=_need(problem) + draw.randint(1, 6) * max(s[2] for s in stages))


def merged(seed: int, *, tasks: int, warm: bool = False) -> Problem:
    """5 to 20 pipelines over one pool of 12 models, each a chain with an order of its own; items skip a stage now and then."""
    draw = random.Random(f"merged/{tasks}/{warm}/{seed}")
    models = _models(draw, 12, warm=warm)
    pipelines = [_pipeline(draw, models) for _ in range(draw.randint(5, 20))]
    todo: list[Task] = []
    item = 0
    while len(todo) < tasks:
        todo += _item(draw, f"i{item}", pipelines[item % len(pipelines)])
        item += 1
    return _tightened(Problem.of(models, todo, None), draw.uniform(1.0, 1.3))


def planted(seed: int, *, tasks: int = 60) -> Problem:
    """Random precedence with outputs on the device, under the peak of a plan known to exist."""
    draw = random.Random(f"planted/{tasks}/{seed}")
    models = _models(draw, 6, warm=draw.random() < 0.5)
    reach = draw.choice([4, 12, 40])
    todo = []
    for i in range(tasks):
        before = (
            tuple(sorted({f"t{draw.randint(max(0, i - reach), i - 1)}" for _ in range(draw.randint(0, 2))}))
            if i
            else ()
        )
        todo.append(_task(draw, f"t{i}", draw.sample(models, draw.randint(1, 2)), before, True))
    return _planted(Problem.of(models, todo, None), draw)


#: Every set of the table: how to make it, how many seeds of each parity, and how many with --quick.
SETS: dict[str, tuple[Callable[[int], Problem], int, int]] = {
    "small": (small, 40, 6),
    "small, outputs": (partial(small, outputs=True), 40, 6),
    "fifteen": (partial(small, tasks=15), 20, 2),
    "fifteen, outputs": (partial(small, tasks=15, outputs=True), 20, 2),
    "identical 100 x 4": (identical, 6, 2),
    "planted 60": (planted, 30, 4),
    "planted 1k": (partial(planted, tasks=1000), 6, 1),
    "identical 10k": (partial(identical, items=2500), 3, 0),
    "merged 200": (partial(merged, tasks=200), 12, 2),
    "merged 1k": (partial(merged, tasks=1000), 8, 2),
    "merged 3k": (partial(merged, tasks=3000), 4, 0),
    "merged 10k": (partial(merged, tasks=10_000), 6, 1),
    "merged 30k": (partial(merged, tasks=30_000), 2, 0),
}


def cases(name: str, *, quick: bool = False, odd: bool = False) -> list[Case]:
    """The problems of one set; even seeds unless `odd`."""
    make, count, few = SETS[name]
    return [Case(name, seed, make(seed)) for seed in range(int(odd), 2 * (few if quick else count), 2)]


def _models(draw: random.Random, count: int, *, warm: bool) -> list[Model]:
    made = []
    for index, size in enumerate(draw.sample(SIZES_MIB, count)):
        weights = size * MIB
        cold = round(0.5 + weights / 1e9, 3)
        made.append(Model(f"m{index}", weights, cold, round(weights / 1e10, 4) if warm else cold, weights))
    return made


def _task(draw: random.Random, name: str, models: list[Model], before: tuple[str, ...], outputs: bool) -> Task:
    output = draw.randint(0, 600) * MIB if outputs else 0
    names = tuple(sorted(model.id for model in models))
    return Task(name, names, draw.randint(0, 900) * MIB, float(draw.randint(1, 30)), output, before)


def _before(draw: random.Random, index: int, density: float) -> tuple[str, ...]:
    return tuple(sorted(f"t{i}" for i in range(index) if draw.random() < density))


def _pipeline(draw: random.Random, models: list[Model]) -> list[tuple[tuple[str, ...], int, float]]:
    """Stages of (models, workspace, seconds) in an order of its own; one stage in four needs a second model."""
    chosen = draw.sample(models, draw.randint(4, 8))
    stages = []
    for model in chosen:
        needs = {model.id} | ({draw.choice(models).id} if draw.random() < 0.25 else set())
        stages.append((tuple(sorted(needs)), draw.randint(0, 600) * MIB, float(draw.randint(1, 20))))
    return stages


def _item(draw: random.Random, name: str, stages: list[tuple[tuple[str, ...], int, float]]) -> list[Task]:
    kept = [stage for stage in stages if draw.random() > 0.15]
    return [
        Task(f"{name}/{i}", models, workspace, seconds, 0, (f"{name}/{i - 1}",) if i else ())
        for i, (models, workspace, seconds) in enumerate(kept)
    ]


def _need(problem: Problem) -> int:
    """The largest need of a single task: its models, workspace, output and its predecessors' outputs."""
    output = {task.id: task.output_bytes for task in problem.tasks}
    return max(
        sum(problem.models[name].weights_bytes for name in task.models)
        + task.workspace_bytes
        + task.output_bytes
        + sum(output[before] for before in task.after)
        for task in problem.tasks
    )


def _tightened(problem: Problem, tightness: float) -> Problem:
    return replace(problem, limit_bytes=int(_need(problem) * tightness))


def _planted(problem: Problem, draw: random.Random) -> Problem:
    """The limit is the peak of a random order, an old task first, that holds only the models of the task that runs."""
    output = {task.id: task.output_bytes for task in problem.tasks}
    followers: dict[str, list[Task]] = {task.id: [] for task in problem.tasks}
    for task in problem.tasks:
        for before in task.after:
            followers[before].append(task)
    left = {name: len(after) for name, after in followers.items()}
    waiting = {task.id: len(task.after) for task in problem.tasks}
    ready = [task for task in problem.tasks if not task.after]
    peak = live = 0
    while ready:
        task = ready.pop(draw.randrange(min(4, len(ready))))
        weights = sum(problem.models[name].weights_bytes for name in task.models)
        peak = max(peak, live + weights + task.workspace_bytes + task.output_bytes)
        live += task.output_bytes if left[task.id] else 0
        for before in task.after:
            left[before] -= 1
            live -= 0 if left[before] else output[before]
        for after in followers[task.id]:
            waiting[after.id] -= 1
            if not waiting[after.id]:
                ready.insert(0, after)
    return replace(problem, limit_bytes=peak)
