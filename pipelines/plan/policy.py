"""Residency policies: `planned` is the planner's own work; here are the two simple ones, for programs that expect them.

    planned      load A  run a1  run a2  unload A  load B  run b1  run b2          each load weighed against bytes and seconds
    sequential   load A  run a1  unload A  load B  run b1  unload B  load A  ...   LOW_VRAM=true: one task's models at a time
    normal       load A  load B  run a1  run b1  run a2  run b2                    LOW_VRAM=false: nothing is ever let go

Their plans pass the same checker, and their lower bound is that of every plan of the problem: cost minus bound is what a
policy costs, and `proved_optimal` is true only where the policy happens to reach the bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import cast

from pipelines.plan import feasibility
from pipelines.plan.bounds import compulsory
from pipelines.plan.finish.assemble import assemble
from pipelines.plan.heuristics.orders import first_in_first_out
from pipelines.plan.model.instance import Instance
from pipelines.plan.model.moves import LoadMove, Move, RunMove, UnloadMove
from pipelines.plan.model.needs import load_order, loading_peak
from pipelines.plan.planner import plan as planned
from pipelines.schema.errors import DoesNotFit, UsageError, did_you_mean
from pipelines.schema.plan import Plan, Run
from pipelines.schema.problem import Problem
from pipelines.schema.refusal import Refusal
from pipelines.schema.settings import ResidencyPolicy
from pipelines.schema.units import GIB, format_bytes


def policy_for(residency: str, total_bytes: int) -> ResidencyPolicy:
    """The policy `residency` names; `auto` depends on the size of the card.

    `normal` from 8 GB (less a tenth, which the driver takes), else `sequential`.

    Raises `UsageError` for an unknown name.

    >>> policy_for("auto", 6 * 1024**3), policy_for("auto", 8 * 1024**3), policy_for("planned", 0)
    ('sequential', 'normal', 'planned')
    """
    if residency == "auto":
        return "normal" if total_bytes >= 0.9 * 8 * GIB else "sequential"
    if residency not in POLICIES:
        raise UsageError(f"tier.residency is {residency!r}. {did_you_mean(str(residency), (*POLICIES, 'auto'))}")
    return cast("ResidencyPolicy", residency)


def plan_under(policy: str, problem: Problem) -> Plan:
    """The plan of `problem` under a policy of `POLICIES`. Raises `DoesNotFit`."""
    return POLICIES[policy](problem)


def sequential(problem: Problem) -> Plan:
    """Each task's models loaded for it and let go after it, in the order of the problem: item by item.

    Where outputs that stay on the device make that order too large, the planner's order is tried.
    """
    instance = Instance.of(problem)
    refused = feasibility.refusal(instance)
    if refused is not None:
        raise DoesNotFit(refused)
    made = _one_by_one(instance, first_in_first_out(instance))
    if _fits(made):
        return made
    made = _one_by_one(instance, _tasks_of(instance, planned(problem)))
    if _fits(made):
        return made
    raise DoesNotFit(_no_order(problem, made))


def normal(problem: Problem) -> Plan:
    """Every model loaded at the beginning, beside the first run where its load peak fits, and none let go.

    Room for all weights is held throughout, so whether it fits does not depend on the order. The refusal says whether
    `planned` would fit.
    """
    instance = Instance.of(problem)
    full = _weights_as_context(problem, instance)
    loading = problem.context_bytes + loading_peak(instance, _used(instance))
    try:
        order = planned(full)
    except DoesNotFit as error:
        raise DoesNotFit(_too_much(problem, instance, error.refusal, loading)) from None
    if problem.limit_bytes is not None and loading > problem.limit_bytes:
        raise DoesNotFit(_too_much(problem, instance, None, loading))
    number = {name: index for index, name in enumerate(instance.task_ids)}
    groups = [tuple(number[name] for name in step.tasks) for step in order.steps if isinstance(step, Run)]
    made = _assembled(instance, _beside_the_first(instance, groups), "normal")
    return made if _fits(made) else _assembled(instance, _before_the_first(instance, groups), "normal")


def _one_by_one(instance: Instance, order: Iterable[int]) -> Plan:
    moves: list[Move] = []
    for task in order:
        models = load_order(instance, instance.need_lists[task])
        moves += [*map(LoadMove, models), RunMove((task,)), *map(UnloadMove, models)]
    return _assembled(instance, moves, "sequential")


def _tasks_of(instance: Instance, plan: Plan) -> list[int]:
    number = {name: index for index, name in enumerate(instance.task_ids)}
    return [number[name] for step in plan.steps if isinstance(step, Run) for name in step.tasks]


def _used(instance: Instance) -> list[int]:
    """The models some task needs, by first need."""
    return list(dict.fromkeys(model for models in instance.need_lists for model in models))


def _weights_as_context(problem: Problem, instance: Instance) -> Problem:
    """The problem with room for every model taken from the start, so that no load or unload of one changes anything."""
    weights = sum(instance.weights[model] for model in _used(instance))
    bare = {name: replace(model, weights_bytes=0, load_peak_bytes=0) for name, model in problem.models.items()}
    return replace(problem, models=bare, context_bytes=problem.context_bytes + weights)


def _beside_the_first(instance: Instance, runs: Sequence[tuple[int, ...]]) -> list[Move]:
    """The first run's models before it, the others' in order of need while it runs."""
    if not runs:
        return []
    own = load_order(instance, {model for task in runs[0] for model in instance.need_lists[task]})
    others = dict.fromkeys(model for run in runs for task in run for model in instance.need_lists[task])
    during = [LoadMove(model, runs[0][0]) for model in others if model not in own]
    return [*map(LoadMove, own), *during, *map(RunMove, runs)]


def _before_the_first(instance: Instance, runs: Sequence[tuple[int, ...]]) -> list[Move]:
    return [*map(LoadMove, load_order(instance, _used(instance))), *map(RunMove, runs)]


def _assembled(instance: Instance, moves: Sequence[Move], policy: str) -> Plan:
    return assemble(instance, moves, compulsory.cost(instance), method=f"residency {policy}")


def _fits(plan: Plan) -> bool:
    return plan.limit_bytes is None or plan.peak_bytes <= plan.limit_bytes


def _too_much(problem: Problem, instance: Instance, running: Refusal | None, loading: int) -> Refusal:
    """The refusal of `normal`. running: what the planner says of the tasks beside all weights. loading: bytes while all load."""
    limit, used = problem.limit_bytes, _used(instance)
    assert limit is not None
    need = running.needed_bytes if running else None
    task = running.task if running and need and need >= loading else None
    needed = max(need or 0, loading)
    of = "its 1 model" if len(used) == 1 else f"all {len(used)} models"
    weights = format_bytes(sum(instance.weights[model] for model in used))
    reason = (
        f"residency=normal keeps {of} loaded to the end, {weights} of weights: "
        f"{f'with task {task!r} running' if task else 'while they load'} that needs {format_bytes(needed)} "
        f"and the limit is {format_bytes(limit)}: {format_bytes(needed - limit)} short."
    )
    if needed <= limit:  # each task has room beside all weights, but not with the outputs that stay on the device
        reason = (
            f"residency=normal keeps {of} loaded to the end, {weights} of weights. {running.reason if running else ''}"
        )
    known = needed > limit
    advice = (_planned_instead(problem), f"Raise the limit to {format_bytes(needed)} or more." if known else "")
    return Refusal(
        reason, running.proved if running else True, task, needed if known else None, limit, needed - limit if known else None,
        tuple(filter(None, advice)),
    )  # fmt: skip


def _no_order(problem: Problem, nearest: Plan) -> Refusal:
    limit = problem.limit_bytes
    assert limit is not None
    reason = (
        f"residency=sequential was tried in two orders, and with the outputs that stay on the device the better one needs "
        f"{format_bytes(nearest.peak_bytes)} of {format_bytes(limit)}; another order may fit."
    )
    advice = (_planned_instead(problem), f"Raise the limit to {format_bytes(nearest.peak_bytes)} or more.")
    return Refusal(reason, False, None, None, limit, None, tuple(filter(None, advice)))


def _planned_instead(problem: Problem) -> str:
    """The sentence for the policy that lets models go as need be, where that fits; else nothing."""
    try:
        peak = planned(problem).peak_bytes
    except DoesNotFit:
        return ""
    return f"tier.residency=planned fits, with a peak of {format_bytes(peak)}: it lets a model go where another needs the room."


#: By the name `tier.residency` has for each.
POLICIES = {"planned": planned, "sequential": sequential, "normal": normal}
