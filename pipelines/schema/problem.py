"""The problem the planner solves: bytes and seconds only, no names of libraries, devices or files (`headroom/problem/1`)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.schema.errors import InvalidError, did_you_mean
from pipelines.schema.json_reader import Reader, parse_json, read_json

SCHEMA = "headroom/problem/1"
OBJECTIVES = ("load", "makespan")


@dataclass(frozen=True, slots=True)
class Model:
    """Weights that occupy the device while they are resident.

    Attributes
    ----------
    id : name, unique in the problem.
    weights_bytes : bytes held while resident.
    load_seconds, reload_seconds : seconds of the first load, and of every later one.
    load_peak_bytes : bytes held while it loads; never less than `weights_bytes`.
    shareable : whether several tasks of one run step may use it at once.
    """

    id: str
    weights_bytes: int
    load_seconds: float
    reload_seconds: float
    load_peak_bytes: int
    shareable: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """A node applied to an item.

    Attributes
    ----------
    id : name, unique in the problem.
    models : the models that must be resident while it runs; a set, kept sorted.
    workspace_bytes : bytes held while it runs, above weights and outputs.
    seconds : how long it runs.
    output_bytes : bytes of a result that stays on the device, from the task's start to the end of its last successor, or of
        itself where it has none.
    after : the tasks that must end before it starts; a set, kept sorted.
    """

    id: str
    models: tuple[str, ...] = ()
    workspace_bytes: int = 0
    seconds: float = 0.0
    output_bytes: int = 0
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """Models, tasks and the limit they must run under.

    Attributes
    ----------
    models : by name.
    tasks : in any order.
    limit_bytes : the most bytes at any moment; None is no limit, 0 fits nothing.
    context_bytes : bytes that libraries hold in every moment.
    objective : "load" is least total load seconds, then least makespan; "makespan" the other way round.
    streams : how many tasks one run step may hold.
    seed : of the planner's randomised passes.
    """

    models: Mapping[str, Model]
    tasks: tuple[Task, ...]
    limit_bytes: int | None
    context_bytes: int = 0
    objective: str = "load"
    streams: int = 1
    seed: int = 0

    @staticmethod
    def of(models: Iterable[Model], tasks: Iterable[Task], limit_bytes: int | None, **more: Any) -> Problem:
        """A validated problem from parts. Raises `InvalidError` as `from_dict` does."""
        problem = Problem({m.id: m for m in models}, tuple(tasks), limit_bytes, **more)
        _validate(problem, "problem")
        return problem

    @staticmethod
    def from_dict(data: Any, where: str = "problem") -> Problem:
        """Read and validate. Raises `InvalidError` naming the first fault and its place."""
        read = Reader(data, where)
        if read.text("schema") != SCHEMA:
            raise InvalidError(f"{where}.schema is {read.text('schema')!r}; this reads {SCHEMA!r}.")
        limit = None if read.get("limit_bytes") is None else read.count("limit_bytes")
        objective = read.text("objective", "load")
        if objective not in OBJECTIVES:
            raise InvalidError(f"{where}.objective is {objective!r}. {did_you_mean(objective, OBJECTIVES)}")
        models = read.get("models")
        if not isinstance(models, Mapping):
            raise InvalidError(f"{where}.models must be an object of models by name.")
        if "" in models:
            raise InvalidError(f"{where}.models has a model without a name.")
        tasks = read.get("tasks")
        if not isinstance(tasks, list):
            raise InvalidError(f"{where}.tasks must be a list.")
        problem = Problem(
            models={name: _model(name, body, f"models[{name!r}]") for name, body in models.items()},
            tasks=tuple(_task(body, f"tasks[{index}]") for index, body in enumerate(tasks)),
            limit_bytes=limit,
            context_bytes=read.count("context_bytes", 0),
            objective=objective,
            streams=read.count("streams", 1, least=1, most=64),
            seed=read.count("seed", 0),
        )
        read.close()
        _validate(problem, where)
        return problem

    @staticmethod
    def from_json(text: str, where: str = "problem") -> Problem:
        """Read from JSON text."""
        return Problem.from_dict(parse_json(text, where), where)

    @staticmethod
    def read(path: Path) -> Problem:
        """Read from a file. `UsageError` where there is none, `InvalidError` for any fault inside it."""
        return Problem.from_dict(read_json(path), path.name)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of `docs/formats.md`, with every field written out."""
        return {
            "schema": SCHEMA,
            "objective": self.objective,
            "limit_bytes": self.limit_bytes,
            "context_bytes": self.context_bytes,
            "streams": self.streams,
            "seed": self.seed,
            "models": {
                m.id: {
                    "weights_bytes": m.weights_bytes,
                    "load_seconds": m.load_seconds,
                    "reload_seconds": m.reload_seconds,
                    "load_peak_bytes": m.load_peak_bytes,
                    "shareable": m.shareable,
                }
                for m in self.models.values()
            },
            "tasks": [
                {
                    "id": t.id,
                    "models": list(t.models),
                    "workspace_bytes": t.workspace_bytes,
                    "seconds": t.seconds,
                    "output_bytes": t.output_bytes,
                    "after": list(t.after),
                }
                for t in self.tasks
            ],
        }

    def to_json(self) -> str:
        """Stable, indented JSON text."""
        return json.dumps(self.to_dict(), indent=1) + "\n"


def _model(name: str, body: Any, where: str) -> Model:
    read = Reader(body, where)
    weights, load = read.count("weights_bytes"), read.seconds("load_seconds")
    model = Model(
        id=name,
        weights_bytes=weights,
        load_seconds=load,
        reload_seconds=read.seconds("reload_seconds", load),
        load_peak_bytes=max(weights, read.count("load_peak_bytes", weights)),
        shareable=read.flag("shareable", False),
    )
    read.close()
    return model


def _task(body: Any, where: str) -> Task:
    read = Reader(body, where)
    task = Task(
        id=read.text("id"),
        models=read.names("models"),
        workspace_bytes=read.count("workspace_bytes", 0),
        seconds=read.seconds("seconds", 0.0),
        output_bytes=read.count("output_bytes", 0),
        after=read.names("after"),
    )
    read.close()
    return task


def _validate(problem: Problem, where: str) -> None:
    position: dict[str, int] = {}
    for index, task in enumerate(problem.tasks):
        if task.id in position:
            raise InvalidError(f"{where}: tasks[{index}] repeats the id {task.id!r} of tasks[{position[task.id]}].")
        position[task.id] = index
    for index, task in enumerate(problem.tasks):
        for name in task.models:
            if name not in problem.models:
                raise InvalidError(
                    f"{where}: tasks[{index}] ({task.id}) needs an unknown model {name!r}. {did_you_mean(name, problem.models)}"
                )
        for name in task.after:
            if name not in position:
                raise InvalidError(
                    f"{where}: tasks[{index}] ({task.id}) comes after an unknown task {name!r}. {did_you_mean(name, list(position)[:500])}"
                )
    _refuse_cycle(problem, position, where)


def _refuse_cycle(problem: Problem, position: Mapping[str, int], where: str) -> None:
    waiting = [len(task.after) for task in problem.tasks]
    successors: list[list[int]] = [[] for _ in problem.tasks]
    for index, task in enumerate(problem.tasks):
        for name in task.after:
            successors[position[name]].append(index)
    ready = [index for index, count in enumerate(waiting) if count == 0]
    done = 0
    while ready:
        done += 1
        for index in successors[ready.pop()]:
            waiting[index] -= 1
            if waiting[index] == 0:
                ready.append(index)
    if done < len(problem.tasks):
        raise InvalidError(
            f"{where}: the tasks wait for each other in a cycle: {' -> '.join(_one_cycle(problem, position, waiting))}."
        )


def _one_cycle(problem: Problem, position: Mapping[str, int], waiting: list[int]) -> list[str]:
    """The ids of one cycle, first and last the same; of a long one its last dozen."""
    index = next(i for i, count in enumerate(waiting) if count)
    visited: dict[int, None] = {}  # in order
    while index not in visited:
        visited[index] = None
        index = next(position[name] for name in problem.tasks[index].after if waiting[position[name]])
    path = list(visited)
    cycle = [*path[path.index(index) :], index]
    return [problem.tasks[i].id for i in reversed(cycle[-12:])]
