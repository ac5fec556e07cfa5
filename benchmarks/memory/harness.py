"""Runs of the real engine and ladder over nodes whose bytes are known, on any device, with faults injected by step."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pipelines.devices.protocol import Device
from pipelines.graph.build import Ports, build
from pipelines.graph.expand import Sizing, expand
from pipelines.plan.planner import plan as make_plan
from pipelines.run.artifacts import Artifacts
from pipelines.run.engine import Engine
from pipelines.run.job import Job, remaining
from pipelines.run.ladder import MODES, Alternative
from pipelines.run.outcome import Outcome
from pipelines.run.recovery import Corrections, Recovery
from pipelines.schema.config import Footprint, Item, NodeSpec, PipelineSpec, Variant
from pipelines.schema.errors import DoesNotFit
from pipelines.schema.hardware import MemoryKind
from pipelines.schema.node import Context, Inputs, Outputs, Place, Port
from pipelines.schema.plan import Plan
from pipelines.schema.problem import Problem
from pipelines.schema.record import Event
from pipelines.schema.refusal import Refusal
from pipelines.schema.settings import Tier
from pipelines.schema.units import MIB
from pipelines.schema.values import Text

#: `fault(when, node)`: called as a node's `load`, `run` or `unload` begins; raises to make it fail.
Fault = Callable[[str, str], None]


@dataclass(frozen=True)
class Timing:
    """Seconds that each node sleeps as it loads and as it runs. spent: what its runs really took, in the order they ended."""

    loads: Sequence[float]
    runs: Sequence[float]
    spent: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Block:
    """A node that holds `weights` bytes and takes `workspace` bytes of RAM while it runs; its output is its name.

    load_seconds, run_seconds: it sleeps so long; `spent` hears how long a run took.
    """

    inputs: ClassVar[Mapping[str, Port]] = {"text": Port("text")}
    outputs: ClassVar[Mapping[str, Port]] = {"text": Port("text")}
    name: str
    weights: int
    workspace: int
    real: bool
    fault: Fault
    load_seconds: float = 0.0
    run_seconds: float = 0.0
    spent: Callable[[float], None] = lambda seconds: None

    def load(self, place: Place) -> Any:
        self.fault("load", self.name)
        time.sleep(self.load_seconds)
        return np.ones(self.weights if self.real else 1, np.uint8)

    def unload(self, model: Any) -> None:
        self.fault("unload", self.name)

    def run(self, model: Any, inputs: Inputs, context: Context) -> Outputs:
        self.fault("run", self.name)
        begun = time.perf_counter()
        time.sleep(self.run_seconds)
        block = np.ones(self.workspace if self.real else 1, np.uint8)
        text = inputs["text"]
        assert isinstance(text, Text)
        del block
        self.spent(time.perf_counter() - begun)
        return {"text": Text(f"{text.text} {self.name}")}


@dataclass
class Bench:
    """A chain of nodes over some items. sizes: (weights, workspace) of each node. real: allocate them in RAM."""

    sizes: Sequence[tuple[int, int]]
    limit: int | None
    items: int = 1
    context: int = 0
    margin: float = 0.0
    real: bool = False
    fault: Fault = lambda when, node: None
    timing: Timing | None = None
    events: list[Event] = field(default_factory=list)

    def job(self) -> Job:
        """Planned. Raises `DoesNotFit`."""
        names = [f"n{number}" for number in range(len(self.sizes))]
        variants = {
            name: Variant(name, "block", "benchmarks.Block", footprints=self._footprints(at))
            for at, name in enumerate(names)
        }
        nodes = {name: self._block(at, name) for at, name in enumerate(names)}
        specs = tuple(
            NodeSpec(name, role="block", inputs={"text": f"{before}.text"})
            for before, name in zip(["item", *names], names, strict=False)
        )
        ports = {name: Ports(Block.inputs, Block.outputs) for name in names}
        graph = build(PipelineSpec("bench", specs, items={"text": "text"}), ports)
        items = [Item(f"i{number}", settings={"text": "x"}) for number in range(self.items)]
        problem = expand(graph, items, variants, Tier("bench"), self._sizing(None, {}, {}))
        return Job(
            graph, {item.name: item for item in items}, variants, nodes, {name: Place() for name in names},
            problem, planned(problem),
        )  # fmt: skip

    def run(self, device: Device, folder: Path, job: Job | None = None) -> Outcome:
        """Plan, unless a job is given, and carry out with the ladder. Raises what a run raises."""
        engine = Engine(job or self.job(), device, Artifacts(folder), self.events.append)
        device.cap(self.limit)
        try:
            return Recovery(engine, self, MODES["balanced"]).execute()
        finally:
            device.cap(None)

    def replan(self, job: Job, variants: Mapping[str, Variant], corrections: Corrections, finished: set[str]) -> Job:
        """As `recovery.Replanner` asks."""
        sizing = self._sizing(corrections.limit_bytes, corrections.extra_weights, corrections.extra_workspace)
        problem = expand(job.graph, list(job.items.values()), variants, Tier("bench"), sizing)
        problem = remaining(problem, finished)
        return replace(job, variants=variants, problem=problem, plan=planned(problem))

    def alternatives(self, job: Job, node: str, corrections: Corrections) -> tuple[tuple[Alternative, Variant], ...]:
        """None: these nodes have one form."""
        return ()

    def pinned(self, node: str) -> frozenset[str]:
        """Nothing is."""
        return frozenset()

    def _block(self, at: int, name: str) -> Block:
        weights, workspace = self.sizes[at]
        if self.timing is None:
            return Block(name, weights, workspace, self.real, self._fault)
        return Block(
            name, weights, workspace, self.real, self._fault, self.timing.loads[at], self.timing.runs[at],
            self.timing.spent.append,
        )  # fmt: skip

    def _footprints(self, at: int) -> dict[MemoryKind, Footprint]:
        weights, workspace = self.sizes[at]
        load = weights / 2e9 if self.timing is None else self.timing.loads[at]
        seconds = {} if self.timing is None else {"base": self.timing.runs[at]}
        made = Footprint(
            weights=weights, load_peak=weights, workspace={"base": workspace}, load_seconds=load, seconds=seconds
        )
        return {"host": made, "accelerator": made}

    def _fault(self, when: str, node: str) -> None:
        self.fault(when, node)

    def _sizing(self, limit: int | None, weights: Mapping[str, int], workspace: Mapping[str, int]) -> Sizing:
        limits = [value for value in (limit, self.limit) if value is not None]
        return Sizing(
            "host", min(limits) if limits else None, base_context=self.context, default_margin=self.margin,
            extra_weights=weights, extra_workspace=workspace,
        )  # fmt: skip


def planned(problem: Problem) -> Plan:
    """A plan, or `DoesNotFit` as the command line would say it."""
    made: Any = make_plan(problem)
    if isinstance(made, Refusal):
        raise DoesNotFit(made)
    plan: Plan = made
    return plan


def exact_minimum(sizes: Sequence[tuple[int, int]], context: int) -> int:
    """Of a chain whose models are not shared: the hungriest node alone, with the context."""
    return context + max(weights + workspace for weights, workspace in sizes)


def some_sizes(rng: Any, nodes: int, unit: int = MIB) -> list[tuple[int, int]]:
    """Random weights (1 to 64 units) and workspaces (1 to 96 units)."""
    return [(rng.randint(1, 64) * unit, rng.randint(1, 96) * unit) for _ in range(nodes)]
