"""Everything a run needs, decided before it starts: the graph, its items, the chosen variants as node objects, the plan."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pipelines.graph.build import Graph
from pipelines.graph.expand import name_of
from pipelines.schema.config import Item, Variant
from pipelines.schema.ids import TaskId
from pipelines.schema.node import Node, Place
from pipelines.schema.plan import Plan
from pipelines.schema.problem import Problem
from pipelines.stream.chain_run import Streaming


@dataclass(frozen=True)
class Job:
    """What to execute. nodes: a node object by graph node. places: where each model's weights lie, by model id.

    variants: the variant of each graph node that has one. digests: of each model's weights, by model id.
    inputs: SHA-256 of the files that items name, by path as the item has it.
    streaming: how the nodes of a fused task (`graph.fuse`) stream into each other.
    """

    graph: Graph
    items: Mapping[str, Item]
    variants: Mapping[str, Variant]
    nodes: Mapping[str, Node]
    places: Mapping[str, Place]
    problem: Problem
    plan: Plan
    seed: int = 0
    keep_going: bool = False
    digests: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    streaming: Streaming = field(default_factory=Streaming)

    def model_of(self, node: str) -> str | None:
        """The model id of a graph node, None where it has no variant."""
        return self.variants[node].name if node in self.variants else None

    def subject_of(self, task: str) -> str:
        """The name under which the bytes of `task` are counted and remembered: its variant's, or its node's."""
        node = TaskId.parse(task).node
        return name_of(self.variants.get(node), node)

    def device_of(self, node: str) -> str | None:
        """Where a graph node computes, None for the run's own device."""
        return self.variants[node].device if node in self.variants else None

    def loader(self, model: str) -> Node:
        """The node object that loads and unloads `model`."""
        return next(self.nodes[node] for node in self.graph.order if self.model_of(node) == model)

    def task_seed(self, task: str) -> int:
        """A seed for one task: the run's and the task's name, the same on every machine."""
        return int.from_bytes(hashlib.sha256(f"{self.seed}/{task}".encode()).digest()[:4])


def remaining(problem: Problem, done: set[str]) -> Problem:
    """The problem without the tasks in `done`, whose results already lie on disk."""
    tasks = tuple(
        replace(task, after=tuple(name for name in task.after if name not in done))
        for task in problem.tasks
        if task.id not in done
    )
    return replace(problem, tasks=tasks)
