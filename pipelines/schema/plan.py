"""A plan: explicit load, run and unload steps with their bytes, and what was proved about them (`headroom/plan/1`)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pipelines.schema.errors import InvalidError, did_you_mean
from pipelines.schema.json_reader import Reader, parse_json, read_json
from pipelines.schema.problem import OBJECTIVES

SCHEMA = "headroom/plan/1"


@dataclass(frozen=True, slots=True)
class Load:
    """Bring a model's weights onto the device.

    Attributes
    ----------
    model : name of the model.
    resident_bytes : context + weights + live outputs after the step.
    during : of a prefetch, the task whose run it overlaps; None for a plain load.
    """

    op: ClassVar[str] = "load"
    model: str
    resident_bytes: int
    during: str | None = None


@dataclass(frozen=True, slots=True)
class Unload:
    """Give a model's weights back. `resident_bytes` as for `Load`."""

    op: ClassVar[str] = "unload"
    model: str
    resident_bytes: int


@dataclass(frozen=True, slots=True)
class Run:
    """Run tasks together, at most `streams` of them. `peak_bytes` is the highest moment while they run."""

    op: ClassVar[str] = "run"
    tasks: tuple[str, ...]
    peak_bytes: int


Step = Load | Run | Unload


@dataclass(frozen=True, slots=True)
class Stage:
    """A topological generation of the tasks and the highest peak of the runs that hold them."""

    index: int
    tasks: tuple[str, ...]
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in order, their totals, and what was proved.

    Attributes
    ----------
    objective, limit_bytes : the problem's.
    peak_bytes : the highest moment of all, loading included; at least the context.
    load_seconds : seconds of all loads.
    makespan_seconds : the end of the last run.
    lower_bound : seconds that no plan can go below, of the objective's first quantity.
    proved_optimal : true exactly where this plan meets `lower_bound`.
    steps, stages : see `docs/formats.md`.
    method : which pass of the planner made it.
    expansions : work the search spent, in states made and compared.
    """

    objective: str
    limit_bytes: int | None
    peak_bytes: int
    load_seconds: float
    makespan_seconds: float
    lower_bound: float
    proved_optimal: bool
    steps: tuple[Step, ...]
    stages: tuple[Stage, ...]
    method: str = ""
    expansions: int = 0

    @property
    def cost(self) -> float:
        """The objective's first quantity, in seconds."""
        return self.load_seconds if self.objective == "load" else self.makespan_seconds

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of `docs/formats.md`."""
        return {
            "schema": SCHEMA,
            "objective": self.objective,
            "limit_bytes": self.limit_bytes,
            "peak_bytes": self.peak_bytes,
            "load_seconds": self.load_seconds,
            "makespan_seconds": self.makespan_seconds,
            "lower_bound": self.lower_bound,
            "proved_optimal": self.proved_optimal,
            "method": self.method,
            "expansions": self.expansions,
            "emergency_stop": False,  # for readers of earlier versions: no clock ends a search
            "steps": [_step_to_dict(step) for step in self.steps],
            "stages": [{"index": s.index, "tasks": list(s.tasks), "peak_bytes": s.peak_bytes} for s in self.stages],
        }

    def to_json(self) -> str:
        """Stable JSON text, one step a line so that plans diff well."""
        head = self.to_dict()
        steps, stages = head.pop("steps"), head.pop("stages")
        lines = [f" {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
        body = [_json_list("steps", steps) + ",", _json_list("stages", stages)]
        return "\n".join(["{", *lines, *body, "}"]) + "\n"

    @staticmethod
    def from_dict(data: Any, where: str = "plan") -> Plan:
        """Read a plan. Fields this version does not know are left alone: the contract grows only by adding."""
        read = Reader(data, where)
        if read.text("schema") != SCHEMA:
            raise InvalidError(f"{where}.schema is {read.text('schema')!r}; this reads {SCHEMA!r}.")
        objective = read.text("objective")
        if objective not in OBJECTIVES:
            raise InvalidError(f"{where}.objective is {objective!r}. {did_you_mean(objective, OBJECTIVES)}")
        steps, stages = read.get("steps"), read.get("stages")
        if not isinstance(steps, list) or not isinstance(stages, list):
            raise InvalidError(f"{where}.steps and {where}.stages must be lists.")
        return Plan(
            objective=objective,
            limit_bytes=None if read.get("limit_bytes") is None else read.count("limit_bytes"),
            peak_bytes=read.count("peak_bytes"),
            load_seconds=read.seconds("load_seconds"),
            makespan_seconds=read.seconds("makespan_seconds"),
            lower_bound=read.seconds("lower_bound"),
            proved_optimal=read.flag("proved_optimal"),
            steps=tuple(_step(body, f"steps[{index}]") for index, body in enumerate(steps)),
            stages=tuple(_stage(body, f"stages[{index}]") for index, body in enumerate(stages)),
            method=read.any_text("method", ""),
            expansions=read.count("expansions", 0),
        )

    @staticmethod
    def from_json(text: str, where: str = "plan") -> Plan:
        """Read from JSON text."""
        return Plan.from_dict(parse_json(text, where), where)

    @staticmethod
    def read(path: Path) -> Plan:
        """Read from a file. `UsageError` where there is none, `InvalidError` for any fault inside it."""
        return Plan.from_dict(read_json(path), path.name)


def _step_to_dict(step: Step) -> dict[str, Any]:
    if isinstance(step, Run):
        return {"op": "run", "tasks": list(step.tasks), "peak_bytes": step.peak_bytes}
    during = {"during": step.during} if isinstance(step, Load) and step.during is not None else {}
    return {"op": step.op, "model": step.model, **during, "resident_bytes": step.resident_bytes}


def _json_list(key: str, rows: list[Any]) -> str:
    if not rows:
        return f' "{key}": []'
    return f' "{key}": [\n' + ",\n".join("  " + json.dumps(row) for row in rows) + "\n ]"


def _step(body: Any, where: str) -> Step:
    read = Reader(body, where)
    op = read.text("op")
    if op == "run":
        return Run(_ordered_names(read, "tasks"), read.count("peak_bytes"))
    if op == "unload":
        return Unload(read.text("model"), read.count("resident_bytes"))
    if op == "load":
        return Load(
            read.text("model"), read.count("resident_bytes"), read.text("during") if read.has("during") else None
        )
    raise InvalidError(f"{where}.op is {op!r}. {did_you_mean(op, ('load', 'run', 'unload'))}")


def _stage(body: Any, where: str) -> Stage:
    read = Reader(body, where)
    return Stage(read.count("index"), _ordered_names(read, "tasks"), read.count("peak_bytes"))


def _ordered_names(read: Reader, key: str) -> tuple[str, ...]:
    value = read.get(key)
    read.names(key)  # the type check; the order given is kept
    return tuple(value)
