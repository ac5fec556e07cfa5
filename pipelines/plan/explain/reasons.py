"""Why a plan is as it is: a reason for every barrier, the moment that binds, and what memory is worth. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipelines.plan.explain.moments import Moment, moment, next_runs, predicted_peaks
from pipelines.plan.explain.prices import Prices, prices
from pipelines.schema.plan import Load, Plan, Run, Step, Unload
from pipelines.schema.problem import Model, Problem
from pipelines.schema.units import format_bytes, format_seconds

#: Tasks that the plans made for prices may hold in all: a few seconds.
PLANNED = 40_000


@dataclass(frozen=True, slots=True)
class Barrier:
    """A barrier of a plan: one load or unload, which no run of its model may pass.

    kind: load, reload, prefetch or unload. reason: the end of the sentence "unload whisper: ...".
    next_use: index of the next run that uses the model. for_step: the step an unload makes room for.
    """

    step: int
    kind: str
    model: str
    seconds: float
    next_use: int | None
    for_step: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class LoadTime:
    """Load seconds: all, those behind which the device computed (hidden), and those it waited for (exposed)."""

    total: float
    hidden: float
    exposed: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything `headroom explain` shows. headroom_bytes: limit minus peak, None without a limit."""

    barriers: tuple[Barrier, ...]
    binding: Moment
    headroom_bytes: int | None
    load_time: LoadTime
    prices: Prices


def explain(
    problem: Problem,
    plan: Plan,
    replan: Callable[[Problem], Plan],
    *,
    most_plans: int = 12,
    least: int | None = None,
) -> Explanation:
    """Explain `plan`, a valid plan of `problem`.

    `replan` makes plans under other limits and raises `DoesNotFit`; it is called at most `most_plans` times, and fewer
    where a plan takes long: so often that about `PLANNED` tasks are planned in all, but twice. `least` as in `prices`.
    """
    most_plans = min(most_plans, max(2, PLANNED // max(1, len(problem.tasks))))
    bytes_at = predicted_peaks(problem, plan.steps)
    binding = max(range(len(bytes_at)), key=lambda index: (bytes_at[index], -index), default=None)
    if binding is not None and bytes_at[binding] <= problem.context_bytes:
        binding = None
    return Explanation(
        barriers=tuple(_Reasons(problem, plan, bytes_at).barriers()),
        binding=moment(problem, plan.steps, binding),
        headroom_bytes=None if problem.limit_bytes is None else problem.limit_bytes - plan.peak_bytes,
        load_time=load_time(problem, plan),
        prices=prices(problem, plan, bytes_at, replan, most_plans, least),
    )


def load_time(problem: Problem, plan: Plan) -> LoadTime:
    """The compute lane stands still only for loads, so what it does not compute is what loads expose."""
    seconds = {task.id: task.seconds for task in problem.tasks}
    computing = sum(max(seconds[name] for name in step.tasks) for step in plan.steps if isinstance(step, Run))
    exposed = max(0.0, plan.makespan_seconds - computing)
    return LoadTime(plan.load_seconds, max(0.0, plan.load_seconds - exposed), exposed)


class _Reasons:
    """Finds the reason of each barrier."""

    def __init__(self, problem: Problem, plan: Plan, bytes_at: list[int]) -> None:
        self.problem, self.steps, self.bytes_at = problem, plan.steps, bytes_at
        self.tasks = {task.id: task for task in problem.tasks}
        self.next_use = next_runs(problem, plan.steps)

    def barriers(self) -> Iterator[Barrier]:
        loaded: set[str] = set()
        for index, step in enumerate(self.steps):
            if isinstance(step, Load):
                yield self.load(index, step, again=step.model in loaded)
                loaded.add(step.model)
            elif isinstance(step, Unload):
                yield self.unload(index, step)

    def load(self, index: int, step: Load, *, again: bool) -> Barrier:
        model, use = self.problem.models[step.model], self.next_use[index]
        seconds = model.reload_seconds if again else model.load_seconds
        reason = (
            "no later task needs it"
            if use is None
            else f"{self.first_user(use, model.id)} needs it {_when(use - index)}"
        )
        kind, took = "reload" if again else "load", format_seconds(seconds)
        if step.during is not None:
            kind, reason = "prefetch", f"{reason}; its {took} overlap {step.during}"
        else:
            reason = f"{reason}; {took}" + (" to bring it back" if again else "")
        return Barrier(index, kind, model.id, seconds, use, None, reason)

    def unload(self, index: int, step: Unload) -> Barrier:
        model, use = self.problem.models[step.model], self.next_use[index]
        target = self.makes_room_for(index, model)
        parts = ["no later task needs it"]
        if use is not None:
            back = format_seconds(model.reload_seconds)
            parts = [f"next used in {_steps(use - index)} ({self.first_user(use, model.id)}), {back} to bring back"]
        if target is not None:
            parts.append(f"{self.demand(self.steps[target])} {_when(target - index)}")
        elif use is not None:
            parts.append("it could have stayed")
        return Barrier(index, "unload", model.id, 0.0, use, target, "; ".join(parts))

    def makes_room_for(self, index: int, model: Model) -> int | None:
        """The first step before the model is back that would pass the limit if it had stayed."""
        limit = self.problem.limit_bytes
        if limit is None:
            return None
        for later in range(index + 1, len(self.steps)):
            step = self.steps[later]
            if isinstance(step, Load) and step.model == model.id:
                return None
            if self.bytes_at[later] + model.weights_bytes > limit:
                return later
        return None

    def demand(self, step: Step) -> str:
        """What a step brings onto the device."""
        if not isinstance(step, Run):
            return f"{step.model} needs {format_bytes(self.problem.models[step.model].load_peak_bytes)}"
        count = sum(self.tasks[name].workspace_bytes + self.tasks[name].output_bytes for name in step.tasks)
        return f"{', '.join(step.tasks)} needs {format_bytes(count)} beside its models"

    def first_user(self, index: int, model: str) -> str:
        """The first task of the run at `index` that uses the model."""
        step = self.steps[index]
        assert isinstance(step, Run)
        return next(name for name in step.tasks if model in self.tasks[name].models)


def _when(steps: int) -> str:
    return "now" if steps == 1 else f"in {_steps(steps)}"


def _steps(count: int) -> str:
    return f"{count} step{'s' if count > 1 else ''}"
