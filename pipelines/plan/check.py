"""The certificate: recomputes every number of a plan from the problem alone, and lets nothing over the limit pass.

Shares no code with the planner. First every step is replayed (`replay`), and the first bad one decides. Then come the
things no single step is to blame for: tasks left out, totals, stages, and what the plan claims about the optimum
(`refute`). O(steps + tasks + edges).
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.plan.refute import cheaper_loads
from pipelines.plan.replay import Fault, Replay, next_but_prefetches
from pipelines.schema.errors import ExitCode, InvalidError
from pipelines.schema.plan import Load, Plan, Run, Stage, Step
from pipelines.schema.problem import Problem
from pipelines.schema.units import format_bytes, format_seconds


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the checker found. `step` is the index in `steps` of the first bad one, None where no step is to blame."""

    ok: bool
    exit_code: ExitCode
    step: int | None
    sentence: str


def check(problem: Problem, plan: Plan) -> Verdict:
    """Whether `plan` is a plan of `problem`, keeps its limit and tells the truth about itself.

    Exit code 3 (`INVALID`) for a wrong step or number, 4 (`DOES_NOT_FIT`) for a moment over the limit.
    """
    index = None
    try:
        replay = Replay(problem)
        for index, (step, coming) in enumerate(zip(plan.steps, next_but_prefetches(plan.steps), strict=True)):  # noqa: B007
            replay.step(step, coming)
        index = None
        _all_ran(problem, replay)
        _totals(problem, plan, replay)
        _stages(problem, plan, replay)
        _claims(problem, plan, replay)
    except Fault as fault:
        where = "The plan" if index is None else f"steps[{index}] ({_step_text(plan.steps[index])})"
        return Verdict(False, fault.exit_code, index, f"{where}: {fault}.")
    return Verdict(True, ExitCode.OK, None, _confirmation(plan))


def certified(problem: Problem, plan: Plan) -> Plan:
    """The plan, once the checker has passed it. One that it does not pass is a bug of ours and is not used: `InvalidError`."""
    verdict = check(problem, plan)
    if not verdict.ok:
        raise InvalidError(
            f"The planner made a plan its checker refuses ({verdict.sentence}). Please report this problem.json."
        )
    return plan


def _all_ran(problem: Problem, replay: Replay) -> None:
    left = [task.id for task in problem.tasks if task.id not in replay.peak_of]
    if left:
        raise Fault(f"{len(left)} of {len(problem.tasks)} tasks never run; the first is {left[0]!r}")


def _totals(problem: Problem, plan: Plan, replay: Replay) -> None:
    _equal("objective", plan.objective, problem.objective)
    _equal("limit_bytes", plan.limit_bytes, problem.limit_bytes)
    _equal("peak_bytes", plan.peak_bytes, replay.peak_bytes)
    for name, stated, true in (
        ("load_seconds", plan.load_seconds, replay.load_seconds),
        ("makespan_seconds", plan.makespan_seconds, replay.lanes.run_end),
    ):
        if not _same_seconds(stated, true):
            raise Fault(f"{name} is {stated}, but it is {true}")


def _equal(name: str, stated: object, true: object) -> None:
    if stated != true:
        raise Fault(f"{name} is {stated}, but it is {true}")


def _same_seconds(stated: float, true: float) -> bool:
    return abs(stated - true) <= 1e-6 * max(1.0, abs(true))


def _stages(problem: Problem, plan: Plan, replay: Replay) -> None:
    """Each topological generation in order, with the highest peak of the runs that hold its tasks."""
    generations = _generations(problem)
    _equal("the number of stages", len(plan.stages), len(generations))
    for index, (stage, names) in enumerate(zip(plan.stages, generations, strict=True)):
        _equal(f"the index of stages[{index}]", stage.index, index)
        _equal(f"stages[{index}].peak_bytes", stage.peak_bytes, max(replay.peak_of[name] for name in names))
        _same_tasks(stage, names)


def _same_tasks(stage: Stage, names: list[str]) -> None:
    if sorted(stage.tasks) != sorted(names):
        misplaced = sorted(set(stage.tasks).symmetric_difference(names)) or sorted(stage.tasks)
        raise Fault(f"stages[{stage.index}] is not that topological generation, see {misplaced[0]!r}")


def _generations(problem: Problem) -> list[list[str]]:
    """The tasks by the length of the longest chain of predecessors behind them."""
    waiting = {task.id: len(task.after) for task in problem.tasks}
    followers: dict[str, list[str]] = {task.id: [] for task in problem.tasks}
    for task in problem.tasks:
        for before in task.after:
            followers[before].append(task.id)
    generations: list[list[str]] = []
    level = [task.id for task in problem.tasks if not task.after]
    while level:
        generations.append(level)
        coming = []
        for follower in (name for before in level for name in followers[before]):
            waiting[follower] -= 1
            if waiting[follower] == 0:
                coming.append(follower)
        level = coming
    return generations


def _claims(problem: Problem, plan: Plan, replay: Replay) -> None:
    """The bound is not above the cost, optimality is claimed exactly where they meet, and no small search refutes it."""
    by_load = problem.objective == "load"
    cost = replay.load_seconds if by_load else replay.lanes.run_end
    bound, meet = plan.lower_bound, _same_seconds(plan.lower_bound, cost)
    if not (0 <= bound <= cost or (bound > 0 and meet)):
        raise Fault(f"lower_bound is {bound}, which is not between 0 and the cost of {cost}")
    if plan.proved_optimal and not meet:
        raise Fault(f"proved_optimal is true, but the cost of {cost} is above the lower_bound of {bound}")
    if not plan.proved_optimal and bound >= cost:
        raise Fault(f"proved_optimal is false, but the lower_bound meets the cost of {cost}")
    # One task after another without prefetches takes the tasks' seconds and the load seconds, no more.
    besides = 0.0 if by_load else sum(task.seconds for task in problem.tasks)
    found = cheaper_loads(problem, bound - besides - 1e-6 * max(1.0, bound))
    if found is not None:
        raise Fault(f"lower_bound is {bound}, but there is a plan of {found + besides}")


def _step_text(step: Step) -> str:
    if isinstance(step, Run):
        return f"run {', '.join(step.tasks[:3])}{' ...' if len(step.tasks) > 3 else ''}"
    return f"{step.op} {step.model}" + (f" during {step.during}" if isinstance(step, Load) and step.during else "")


def _confirmation(plan: Plan) -> str:
    peak, limit = plan.peak_bytes, plan.limit_bytes
    under = "" if limit is None else f", {format_bytes(limit - peak)} under the limit of {format_bytes(limit)}"
    what = "load time" if plan.objective == "load" else "makespan"
    proof = "the least possible" if plan.proved_optimal else f"no plan is below {format_seconds(plan.lower_bound)}"
    return f"The plan holds: its highest moment is {format_bytes(peak)}{under}; {what} {format_seconds(plan.cost)}, {proof}."
