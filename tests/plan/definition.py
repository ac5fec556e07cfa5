"""The definitions of a plan's bytes and seconds, each number worked out afresh from the whole list of steps.

Slow and without shortcuts, so that reading it shows that it is right; the planner and the checker are compared with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from pipelines.schema.plan import Load, Plan, Run, Stage, Step, Unload
from pipelines.schema.problem import Problem, Task


class Definition:
    def __init__(self, problem: Problem, steps: Sequence[Step]) -> None:
        self.problem, self.steps = problem, steps
        self.tasks = {task.id: task for task in problem.tasks}
        self.start, self.end = cache(self._start), cache(self._end)

    def done(self, stop: int) -> set[str]:
        return {name for step in self.steps[:stop] if isinstance(step, Run) for name in step.tasks}

    def resident(self, stop: int) -> set[str]:
        models: set[str] = set()
        for step in self.steps[:stop]:
            if isinstance(step, Load):
                models.add(step.model)
            elif isinstance(step, Unload):
                models.discard(step.model)
        return models

    def held(self, stop: int) -> int:
        """Context, weights and live outputs after the first `stop` steps."""
        done = self.done(stop)
        live = [
            t
            for t in self.problem.tasks
            if t.id in done and any(t.id in u.after and u.id not in done for u in self.problem.tasks)
        ]
        weights = sum(self.problem.models[name].weights_bytes for name in self.resident(stop))
        return self.problem.context_bytes + weights + sum(task.output_bytes for task in live)

    def pending(self, at: int) -> int:
        """The largest load_peak above weights that still counts at step `at`."""
        extras = [0]
        for index, step in enumerate(self.steps[: at + 1]):
            if isinstance(step, Load) and step.during is not None:
                later = self.steps[index + 1 : at + 1]
                plain = any(isinstance(s, Load) and s.during is None for s in later)
                if not plain and not any(isinstance(s, Run) and step.model in self.models(s) for s in later):
                    extras.append(self.extra(step.model))
        return max(extras)

    def extra(self, name: str) -> int:
        model = self.problem.models[name]
        return model.load_peak_bytes - model.weights_bytes

    def of(self, run: Run) -> list[Task]:
        return [self.tasks[name] for name in run.tasks]

    def models(self, run: Run) -> set[str]:
        return {name for task in self.of(run) for name in task.models}

    def moment(self, at: int) -> int:
        """The highest bytes of step `at`."""
        step = self.steps[at]
        if isinstance(step, Run):
            return self.held(at) + sum(t.output_bytes + t.workspace_bytes for t in self.of(step)) + self.pending(at)
        if isinstance(step, Load):
            return self.held(at + 1) + (self.extra(step.model) if step.during is None else self.pending(at))
        return self.held(at + 1)

    def seconds(self, at: int) -> float:
        step = self.steps[at]
        if isinstance(step, Run):
            return max(task.seconds for task in self.of(step))
        assert isinstance(step, Load)
        again = any(isinstance(s, Load) and s.model == step.model for s in self.steps[:at])
        model = self.problem.models[step.model]
        return model.reload_seconds if again else model.load_seconds

    def _end(self, at: int) -> float:
        return self.start(at) + self.seconds(at)

    def _start(self, at: int) -> float:
        step, before = self.steps[at], range(at)
        last_run = max((i for i in before if isinstance(self.steps[i], Run)), default=None)
        last_load = max((i for i in before if isinstance(self.steps[i], Load)), default=None)
        wait = [0.0]
        if isinstance(step, Load) and step.during is not None:
            wait.append(self.start(next(i for i in range(at, len(self.steps)) if isinstance(self.steps[i], Run))))
        elif last_run is not None:
            wait.append(self.end(last_run))
        if isinstance(step, Load):
            return max(wait + ([] if last_load is None else [self.end(last_load)]))
        assert isinstance(step, Run)
        for i in before:
            other = self.steps[i]
            if isinstance(other, Load) and (other.during is None or other.model in self.models(step)):
                wait.append(self.end(i))
        return max(wait)


def filled(problem: Problem, steps: Sequence[Step], lower_bound: float = 0.0) -> Plan:
    """The plan of these steps with every number the contract asks for; the numbers the steps came with are ignored."""
    definition = Definition(problem, steps)
    peaks = [definition.moment(at) for at in range(len(steps))]
    stated = tuple(
        replace(step, peak_bytes=peak)
        if isinstance(step, Run)
        else replace(step, resident_bytes=definition.held(at + 1))
        for at, (step, peak) in enumerate(zip(steps, peaks, strict=True))
    )
    loads = sum(definition.seconds(at) for at, step in enumerate(steps) if isinstance(step, Load))
    runs = [at for at, step in enumerate(steps) if isinstance(step, Run)]
    makespan = definition.end(runs[-1]) if runs else 0.0
    cost = loads if problem.objective == "load" else makespan
    return Plan(
        objective=problem.objective,
        limit_bytes=problem.limit_bytes,
        peak_bytes=max([problem.context_bytes, *peaks]),
        load_seconds=loads,
        makespan_seconds=makespan,
        lower_bound=lower_bound,
        proved_optimal=lower_bound == cost,
        steps=stated,
        stages=_stages(problem, stated),
    )


def _stages(problem: Problem, steps: Sequence[Step]) -> tuple[Stage, ...]:
    tasks = {task.id: task for task in problem.tasks}

    def level(name: str) -> int:
        return max((level(before) + 1 for before in tasks[name].after), default=0)

    stages = []
    for index in range(max((level(name) + 1 for name in tasks), default=0)):
        names = tuple(name for name in tasks if level(name) == index)
        peak = max((s.peak_bytes for s in steps if isinstance(s, Run) and set(s.tasks) & set(names)), default=0)
        stages.append(Stage(index, names, peak))
    return tuple(stages)


def legal(problem: Problem, steps: Sequence[Step]) -> bool:
    """Whether every step is allowed where it stands and every task runs. Says nothing of bytes or seconds."""
    names = [name for step in steps if isinstance(step, Run) for name in step.tasks]
    ran_once = sorted(names) == sorted(task.id for task in problem.tasks)
    known = all(step.model in problem.models for step in steps if not isinstance(step, Run))
    if not ran_once or not known:
        return False
    definition = Definition(problem, steps)
    return all(_allowed(definition, at) for at in range(len(steps)))


def _allowed(definition: Definition, at: int) -> bool:
    step, resident = definition.steps[at], definition.resident(at)
    if isinstance(step, Run):
        return _may_run(definition, step, definition.done(at), resident)
    if isinstance(step, Load):
        return step.model not in resident and (
            step.during is None or _may_prefetch(definition, at, step.model, step.during)
        )
    if step.model not in resident:
        return False
    loaded = max(i for i in range(at) if isinstance(s := definition.steps[i], Load) and s.model == step.model)
    return any(isinstance(s, Run) and step.model in definition.models(s) for s in definition.steps[loaded:at])


def _may_run(definition: Definition, run: Run, done: set[str], resident: set[str]) -> bool:
    uses = [name for task in definition.of(run) for name in task.models]
    alone = {name for name in uses if not definition.problem.models[name].shareable}
    return (
        1 <= len(run.tasks) <= definition.problem.streams
        and all(done.issuperset(task.after) for task in definition.of(run))
        and resident.issuperset(uses)
        and all(uses.count(name) == 1 for name in alone)
    )


def _may_prefetch(definition: Definition, at: int, model: str, during: str) -> bool:
    for step in definition.steps[at + 1 :]:
        if isinstance(step, Run):
            return during in step.tasks and model not in definition.models(step)
        if not isinstance(step, Load) or step.during is None:
            return False
    return False


def keeps_limit(problem: Problem, steps: Sequence[Step]) -> bool:
    """Whether no moment of legal `steps` passes the limit."""
    limit, definition = problem.limit_bytes, Definition(problem, steps)
    return limit is None or all(
        m <= limit for m in [problem.context_bytes, *(definition.moment(at) for at in range(len(steps)))]
    )
