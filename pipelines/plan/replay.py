"""Simulates a plan step by step and stops at the first step that is wrong. The heart of `check`.

It knows the problem and the rules of a plan, and shares no code with the planner. Three things happen at every step, in
this order, and the first that fails is the fault:

1. the step must be allowed                             else exit 3   ("the model is already on the device")
2. its true bytes must stay within the limit            else exit 4   (whatever the plan says about them)
3. the bytes it states must be the true ones            else exit 3
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipelines.schema.errors import ExitCode
from pipelines.schema.plan import Load, Run, Step, Unload
from pipelines.schema.problem import Problem, Task
from pipelines.schema.units import format_bytes


class Fault(Exception):
    """What is wrong with a plan, as the end of a sentence, and the exit code it means."""

    def __init__(self, sentence: str, exit_code: ExitCode = ExitCode.INVALID) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


class Replay:
    """The device and both lanes while steps are executed. Afterwards: the true totals of the plan."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.tasks = {task.id: task for task in problem.tasks}
        self.successors_left = dict.fromkeys(self.tasks, 0)
        for task in problem.tasks:
            for before in task.after:
                self.successors_left[before] += 1
        self.used: dict[str, bool] = {}  # the resident models: whether a run used them since they were loaded
        self.maybe_loading: dict[str, int] = {}  # prefetched models whose load may not have ended: load_peak - weights
        self.resident_bytes = problem.context_bytes  # context + weights + live outputs
        self.peak_bytes = 0
        self.peak_of: dict[str, int] = {}  # of the run that held the task; its keys are the tasks that ran
        self.loaded_before: set[str] = set()
        self.load_seconds = 0.0
        self.lanes = Lanes()
        self._moment(problem.context_bytes, "the libraries' context alone holds")

    def step(self, step: Step, coming: Step | None) -> None:
        """Carry out one step; `coming` is the next one that is no prefetch. Raises `Fault`."""
        if isinstance(step, Run):
            self._run(step)
        elif isinstance(step, Unload):
            self._unload(step)
        elif step.during is None:
            self._load(step)
        else:
            self._prefetch(step, step.during, coming)

    def _moment(self, true_bytes: int, what: str) -> None:
        """One moment of the device: counted for the peak, a fault over the limit."""
        self.peak_bytes = max(self.peak_bytes, true_bytes)
        limit = self.problem.limit_bytes
        if limit is not None and true_bytes > limit:
            over = format_bytes(true_bytes - limit)
            raise Fault(f"{what} {true_bytes} bytes, {over} over the limit of {limit}", ExitCode.DOES_NOT_FIT)

    def _expect(self, field: str, stated: int, true: int) -> None:
        if stated != true:
            raise Fault(f"its {field} is {stated}, but it is {true}")

    # -- loads and unloads

    def _load(self, step: Load) -> None:
        seconds = self._add_weights(step.model)
        model = self.problem.models[step.model]
        self.maybe_loading.clear()  # the load lane is free when a plain load starts, so every prefetch has ended
        self.lanes.load(step.model, seconds)
        above = max(0, model.load_peak_bytes - model.weights_bytes)
        self._moment(self.resident_bytes + above, "while the model loads the device holds")
        self._expect("resident_bytes", step.resident_bytes, self.resident_bytes)

    def _prefetch(self, step: Load, during: str, coming: Step | None) -> None:
        seconds = self._add_weights(step.model)
        model = self.problem.models[step.model]
        if during not in self.tasks:
            raise Fault(f"the problem has no task {during!r}")
        if not isinstance(coming, Run) or during not in coming.tasks:
            raise Fault(f"a prefetch stands right before the run it overlaps, and the next run is not of {during!r}")
        for name in coming.tasks:
            if name in self.tasks and step.model in self.tasks[name].models:
                raise Fault(f"the run it overlaps needs the model itself, for {name!r}")
        self.maybe_loading[step.model] = max(0, model.load_peak_bytes - model.weights_bytes)
        self.lanes.prefetch(step.model, seconds)
        self._moment(self.resident_bytes + self._above_weights(), "with it the device holds")
        self._expect("resident_bytes", step.resident_bytes, self.resident_bytes)

    def _add_weights(self, name: str) -> float:
        """Count a model's weights and the seconds of its load, the first or a later one."""
        model = self.problem.models.get(name)
        if model is None:
            raise Fault(f"the problem has no model {name!r}")
        if name in self.used:
            raise Fault("the model is already on the device")
        seconds = model.reload_seconds if name in self.loaded_before else model.load_seconds
        self.loaded_before.add(name)
        self.used[name] = False
        self.load_seconds += seconds
        self.resident_bytes += model.weights_bytes
        return seconds

    def _above_weights(self) -> int:
        """Of several prefetched models only one is loading at any time: the lane loads them one after another."""
        return max(self.maybe_loading.values(), default=0)

    def _unload(self, step: Unload) -> None:
        if step.model not in self.problem.models:
            raise Fault(f"the problem has no model {step.model!r}")
        if step.model not in self.used:
            raise Fault("the model is not on the device")
        if not self.used.pop(step.model):
            raise Fault("no run has used the model since it was loaded")
        self.resident_bytes -= self.problem.models[step.model].weights_bytes
        self._expect("resident_bytes", step.resident_bytes, self.resident_bytes)

    # -- runs

    def _run(self, step: Run) -> None:
        tasks = self._startable(step)
        models = {name for task in tasks for name in task.models}
        for name in models:
            self.used[name] = True
            self.maybe_loading.pop(name, None)  # the run waits until its models are loaded
        self.resident_bytes += sum(task.output_bytes for task in tasks)
        peak = self.resident_bytes + sum(task.workspace_bytes for task in tasks) + self._above_weights()
        self._moment(peak, "while it runs the device holds")
        self._expect("peak_bytes", step.peak_bytes, peak)
        self.lanes.run(models, max(task.seconds for task in tasks))
        for task in tasks:
            self.peak_of[task.id] = peak
            self._end(task)

    def _startable(self, step: Run) -> list[Task]:
        """The tasks of a run, each of which may run now and beside the others."""
        if not step.tasks:
            raise Fault("it runs nothing")
        if len(step.tasks) > self.problem.streams:
            raise Fault(f"{len(step.tasks)} tasks run together and streams is {self.problem.streams}")
        if len(set(step.tasks)) < len(step.tasks):
            raise Fault("it names a task twice")
        taken: set[str] = set()
        for name in step.tasks:
            self._may_run(name, taken)
            taken.update(self.tasks[name].models)
        return [self.tasks[name] for name in step.tasks]

    def _may_run(self, name: str, taken: set[str]) -> None:
        if name not in self.tasks:
            raise Fault(f"the problem has no task {name!r}")
        if name in self.peak_of:
            raise Fault(f"{name!r} has run before")
        for before in self.tasks[name].after:
            if before not in self.peak_of:
                raise Fault(f"{name!r} comes after {before!r}, which has not run")
        for model in self.tasks[name].models:
            if model not in self.used:
                raise Fault(f"{name!r} needs the model {model!r}, which is not on the device")
            if model in taken and not self.problem.models[model].shareable:
                raise Fault(f"two tasks that run together need the model {model!r}, which is not shareable")

    def _end(self, task: Task) -> None:
        """Outputs nobody waits for any more leave the device."""
        if self.successors_left[task.id] == 0:
            self.resident_bytes -= task.output_bytes
        for before in task.after:
            self.successors_left[before] -= 1
            if self.successors_left[before] == 0:
                self.resident_bytes -= self.tasks[before].output_bytes


class Lanes:
    """One compute lane and one load lane. Times in seconds since the start."""

    def __init__(self) -> None:
        self.run_end = 0.0
        self.lane_free = 0.0
        self.plain_loads_end = 0.0
        self.loaded_at: dict[str, float] = {}
        self.waiting: list[tuple[str, float]] = []  # the prefetches of the run that comes next, in order

    def load(self, model: str, seconds: float) -> None:
        """A plain load starts when the lane is free and the run before it has ended."""
        self.lane_free = max(self.lane_free, self.run_end) + seconds
        self.plain_loads_end = self.loaded_at[model] = self.lane_free

    def prefetch(self, model: str, seconds: float) -> None:
        """A prefetch starts when the lane is free and the run it overlaps has started: it waits for that run."""
        self.waiting.append((model, seconds))

    def run(self, models: Iterable[str], seconds: float) -> None:
        """A run starts when the run and the plain loads before it have ended and its models are loaded."""
        start = max([self.run_end, self.plain_loads_end, *(self.loaded_at[model] for model in models)])
        self.run_end = start + seconds
        for model, load_seconds in self.waiting:
            self.lane_free = max(self.lane_free, start) + load_seconds
            self.loaded_at[model] = self.lane_free
        self.waiting.clear()


def next_but_prefetches(steps: Sequence[Step]) -> list[Step | None]:
    """For each step the next one after it that is no prefetch."""
    coming: list[Step | None] = []
    following: Step | None = None
    for step in reversed(steps):
        coming.append(following)
        if not isinstance(step, Load) or step.during is None:
            following = step
    return coming[::-1]
