"""A problem compiled to integers: what the search algorithms work on. Names go in once and come out once, in `assemble`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pipelines.schema.problem import Problem


@dataclass(frozen=True)
class Instance:
    """Tasks and models by index, in the problem's order; sets of models as bit masks.

    room: bytes left for weights, outputs and workspaces (limit - context), None when unlimited.
    """

    problem: Problem
    room: int | None
    model_ids: tuple[str, ...]
    weights: tuple[int, ...]
    load_peak: tuple[int, ...]
    load_cost: tuple[float, ...]
    reload_cost: tuple[float, ...]
    shareable: int
    task_ids: tuple[str, ...]
    needs: tuple[int, ...]
    need_lists: tuple[tuple[int, ...], ...]
    workspace: tuple[int, ...]
    output: tuple[int, ...]
    seconds: tuple[float, ...]
    preds: tuple[tuple[int, ...], ...]
    succs: tuple[tuple[int, ...], ...]

    @staticmethod
    def of(problem: Problem) -> Instance:
        """Compile `problem`. O(tasks + edges)."""
        models = list(problem.models.values())
        number = {model.id: index for index, model in enumerate(models)}
        position = {task.id: index for index, task in enumerate(problem.tasks)}
        need_lists = tuple(tuple(number[name] for name in task.models) for task in problem.tasks)
        preds = tuple(tuple(position[name] for name in task.after) for task in problem.tasks)
        succs: list[list[int]] = [[] for _ in problem.tasks]
        for index, before in enumerate(preds):
            for pred in before:
                succs[pred].append(index)
        return Instance(
            problem=problem,
            room=None if problem.limit_bytes is None else problem.limit_bytes - problem.context_bytes,
            model_ids=tuple(model.id for model in models),
            weights=tuple(model.weights_bytes for model in models),
            load_peak=tuple(max(model.load_peak_bytes, model.weights_bytes) for model in models),
            load_cost=tuple(model.load_seconds for model in models),
            reload_cost=tuple(model.reload_seconds for model in models),
            shareable=sum(1 << index for index, model in enumerate(models) if model.shareable),
            task_ids=tuple(task.id for task in problem.tasks),
            needs=tuple(sum(1 << index for index in needed) for needed in need_lists),
            need_lists=need_lists,
            workspace=tuple(task.workspace_bytes for task in problem.tasks),
            output=tuple(task.output_bytes for task in problem.tasks),
            seconds=tuple(task.seconds for task in problem.tasks),
            preds=preds,
            succs=tuple(tuple(after) for after in succs),
        )

    @cached_property
    def topological(self) -> tuple[int, ...]:
        """The tasks, each after its predecessors; among ready ones the order is fixed but means nothing."""
        waiting = [len(before) for before in self.preds]
        order = [index for index, count in enumerate(waiting) if count == 0]
        for task in order:  # grows while it is walked
            for after in self.succs[task]:
                waiting[after] -= 1
                if waiting[after] == 0:
                    order.append(after)
        return tuple(order)

    @cached_property
    def run_bytes(self) -> tuple[int, ...]:
        """Bytes of each task's run alone: its models' weights, workspace, output and its predecessors' outputs. No context."""
        weights, output = self.weights, self.output
        return tuple(
            sum(weights[model] for model in models) + workspace + own + sum(output[before] for before in behind)
            for models, workspace, own, behind in zip(self.need_lists, self.workspace, output, self.preds, strict=True)
        )

    @cached_property
    def generation(self) -> tuple[int, ...]:
        """Each task's stage: the length of the longest chain of predecessors behind it."""
        level = [0] * len(self.task_ids)
        for task in self.topological:
            for after in self.succs[task]:
                level[after] = max(level[after], level[task] + 1)
        return tuple(level)
