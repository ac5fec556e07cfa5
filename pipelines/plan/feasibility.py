"""Refusals: the proof that one task alone does not fit, found before any search, and the answer where a search failed."""

from __future__ import annotations

from collections.abc import Iterable

from pipelines.plan.model.instance import Instance
from pipelines.plan.model.needs import single_task_needs, unavoidable_bytes
from pipelines.schema.refusal import Refusal
from pipelines.schema.units import MIB, format_bytes


def refusal(instance: Instance) -> Refusal | None:
    """The proof that no plan exists because one task alone is too large, or None.

    The task named is the one with the largest need, the first of equals.
    """
    limit = instance.problem.limit_bytes
    if limit is None:
        return None
    needs = single_task_needs(instance)
    blocked = [t for t, need in enumerate(needs) if need > limit and unavoidable_bytes(instance, t) > limit]
    if blocked:
        worst = max(blocked, key=lambda t: (needs[t], -t))
        return blame(instance, worst, needs[worst])
    context = instance.problem.context_bytes
    return _context_refusal(limit, context) if context > limit else None


def blame(instance: Instance, task: int, needed: int) -> Refusal:
    """The proved refusal that names `task` and what would make it fit."""
    limit = instance.problem.limit_bytes
    assert limit is not None
    name, short = instance.task_ids[task], needed - limit
    reason = (
        f"Task {name!r} alone needs {format_bytes(needed)} and the limit is {format_bytes(limit)}: "
        f"{format_bytes(short)} short, in whatever order the tasks run."
    )
    return Refusal(reason, True, name, needed, limit, short, tuple(_suggestions(instance, task, needed)))


def unknown(instance: Instance, *, proved: bool) -> Refusal:
    """The refusal where every task fits alone but no order was found, or (proved) none exists."""
    limit = instance.problem.limit_bytes
    assert limit is not None
    because = "the outputs that stay on the device leave no order in which every step fits"
    reason = (
        f"Each task fits the limit of {format_bytes(limit)} alone, but {because}."
        if proved
        else f"No plan under {format_bytes(limit)} was found within the search budget; one may exist. "
        "Each task fits alone, but outputs stay on the device between tasks."
    )
    hold = max(range(len(instance.task_ids)), key=lambda t: instance.output[t] * bool(instance.succs[t]), default=None)
    advice = [f"Raise the limit above {format_bytes(limit)}."]
    if hold is not None and instance.output[hold]:
        advice.append(
            f"Let the output of {instance.task_ids[hold]!r} ({format_bytes(instance.output[hold])}) leave the device (output_bytes 0)."
        )
    if not proved:
        advice.append("Give the search a larger effort.")
    return Refusal(reason, proved, None, None, limit, None, tuple(advice))


def _context_refusal(limit: int, context: int) -> Refusal:
    reason = f"The libraries' own context takes {format_bytes(context)} and the limit is {format_bytes(limit)}."
    return Refusal(reason, True, None, None, limit, None, (f"Raise the limit to at least {format_bytes(context)}.",))


def _suggestions(instance: Instance, task: int, needed: int) -> Iterable[str]:
    if 0 < (limit := instance.problem.limit_bytes or 0) < MIB:
        yield f"Give the limit its unit, {limit}GiB or {limit}MiB: without one it is in bytes."
    yield f"Raise the limit to {format_bytes(needed)} or more."
    models = instance.need_lists[task]
    if models:
        largest = max(models, key=lambda m: (instance.load_peak[m], -m))
        yield (
            f"Use a smaller variant of model {instance.model_ids[largest]!r} "
            f"({format_bytes(instance.weights[largest])} of weights)."
        )
    workspace = instance.workspace[task]
    if workspace:
        yield (
            f"Lower the workspace of {instance.task_ids[task]!r} ({format_bytes(workspace)}): "
            "shorter segments or a smaller batch."
        )
    kept = [t for t in (*instance.preds[task], task) if instance.output[t]]
    if kept:
        names = ", ".join(repr(instance.task_ids[t]) for t in kept[:3])
        yield f"Let the output of {names} leave the device (output_bytes 0)."
