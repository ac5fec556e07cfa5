"""A plan seen moment by moment: bytes at every step, what they are made of, and when each model is used next.

For explaining a plan that is known to hold; whether it does is the checker's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.schema.plan import Load, Run, Step, Unload
from pipelines.schema.problem import Problem

BytesByHolder = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Moment:
    """The bytes of one step, by what holds them. `above` is load_peak above weights of the model that is loading.

    step: index in `steps`, None for the moment before anything is loaded.
    """

    step: int | None
    context: int
    weights: BytesByHolder
    above: int
    outputs: BytesByHolder
    workspaces: BytesByHolder

    @property
    def total(self) -> int:
        """All of it."""
        parts = (*self.weights, *self.outputs, *self.workspaces)
        return self.context + self.above + sum(count for _, count in parts)


def predicted_peaks(problem: Problem, steps: Sequence[Step]) -> list[int]:
    """The highest bytes on the device while each step lasts: the one figure that explanations, events and records predict.

    A load's holds its load_peak, a prefetch's also what other prefetches still need while they load. An unload is highest
    before its model has left. A run's equals the `peak_bytes` that the plan states. O(steps + edges).
    """
    device = _Device(problem)
    return [device.execute(step) for step in steps]


def moment(problem: Problem, steps: Sequence[Step], index: int | None) -> Moment:
    """What the bytes of step `index` are made of."""
    if index is None:
        return Moment(None, problem.context_bytes, (), 0, (), ())
    device, step = _Device(problem), steps[index]
    for before in steps[:index]:
        device.execute(before)
    running = [device.tasks[name] for name in step.tasks] if isinstance(step, Run) else []
    outputs = [*device.live.items(), *((task.id, task.output_bytes) for task in running)]
    if isinstance(step, Load):
        device.execute(step)
    return Moment(
        step=index,
        context=problem.context_bytes,
        weights=tuple((name, problem.models[name].weights_bytes) for name in sorted(device.resident)),
        above=device.above(step),
        outputs=tuple((name, count) for name, count in sorted(outputs) if count),
        workspaces=tuple((task.id, task.workspace_bytes) for task in running if task.workspace_bytes),
    )


def next_runs(problem: Problem, steps: Sequence[Step]) -> list[int | None]:
    """For each step that loads or unloads a model, the index of the next run that uses it; None where there is none."""
    needs = {task.id: task.models for task in problem.tasks}
    coming: dict[str, int] = {}
    found: list[int | None] = [None] * len(steps)
    for index in range(len(steps) - 1, -1, -1):
        step = steps[index]
        if isinstance(step, Run):
            coming.update((model, index) for name in step.tasks for model in needs[name])
        else:
            found[index] = coming.get(step.model)
    return found


class _Device:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.tasks = {task.id: task for task in problem.tasks}
        self.left = dict.fromkeys(self.tasks, 0)
        for task in problem.tasks:
            for before in task.after:
                self.left[before] += 1
        self.resident: set[str] = set()
        self.pending: dict[str, int] = {}
        self.live: dict[str, int] = {}
        self.resident_bytes = problem.context_bytes

    def execute(self, step: Step) -> int:
        """The highest bytes of the step; afterwards the device is as the step leaves it."""
        if isinstance(step, Run):
            return self._run(step)
        weights = self.problem.models[step.model].weights_bytes
        if isinstance(step, Load):
            self.resident.add(step.model)
            self.resident_bytes += weights
            if step.during is None:
                self.pending.clear()
            else:
                self.pending[step.model] = self._extra(step.model)
            return self.resident_bytes + self.above(step)
        self.resident.discard(step.model)
        self.resident_bytes -= weights
        return self.resident_bytes + weights

    def above(self, step: Step) -> int:
        """Bytes above the weights of resident models while the step lasts."""
        if isinstance(step, Load) and step.during is None:
            return self._extra(step.model)
        if isinstance(step, Unload):
            return 0  # lower than the moment before it, whatever still loads
        used = {model for name in step.tasks for model in self.tasks[name].models} if isinstance(step, Run) else set()
        return max((extra for model, extra in self.pending.items() if model not in used), default=0)

    def _extra(self, model: str) -> int:
        return self.problem.models[model].load_peak_bytes - self.problem.models[model].weights_bytes

    def _run(self, step: Run) -> int:
        tasks, above = [self.tasks[name] for name in step.tasks], self.above(step)
        peak = self.resident_bytes + above + sum(task.output_bytes + task.workspace_bytes for task in tasks)
        for task in tasks:
            for model in task.models:
                self.pending.pop(model, None)
            if self.left[task.id]:
                self.live[task.id] = task.output_bytes
                self.resident_bytes += task.output_bytes
            for before in task.after:
                self.left[before] -= 1
                if self.left[before] == 0:
                    self.resident_bytes -= self.live.pop(before)
        return peak
