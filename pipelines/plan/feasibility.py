"""What a problem needs before any search: each task alone under the limit, and the refusal where one does not fit."""

from __future__ import annotations

from collections.abc import Iterable

from pipelines.plan.model.instance import Instance
from pipelines.schema.refusal import Refusal
from pipelines.schema.units import MIB, format_bytes


def load_order(instance: Instance, models: Iterable[int]) -> list[int]:
    """`models` in the order that loads with the lowest peak.

    While one loads, those before it are resident, so the one whose load peak rises most above its weights goes first
    (swapping two neighbours shows that no other order is lower).
    """
    return sorted(models, key=lambda m: (instance.weights[m] - instance.load_peak[m], m))


def load_span(instance: Instance, models: Iterable[int]) -> int:
    """Peak bytes of loading `models` one after another in `load_order`, nothing else counted."""
    peak = resident = 0
    for model in load_order(instance, models):
        peak = max(peak, resident + instance.load_peak[model])
        resident += instance.weights[model]
    return peak


def run_bytes(instance: Instance, task: int) -> int:
    """Bytes of `task`'s run alone: its models, workspace, output and its predecessors' outputs. No context."""
    held = sum(instance.weights[m] for m in instance.need_lists[task])
    inputs = sum(instance.output[before] for before in instance.preds[task])
    return held + inputs + instance.workspace[task] + instance.output[task]


def single_task_needs(instance: Instance) -> list[int]:
    """Each task's `needed_bytes` of DESIGN section 4, context included: its run, or the moment of its loading."""
    context = instance.problem.context_bytes
    spans: dict[int, int] = {}
    needs = []
    for task, mask in enumerate(instance.needs):
        if mask not in spans:
            spans[mask] = load_span(instance, instance.need_lists[task])
        inputs = sum(instance.output[before] for before in instance.preds[task])
        loading = spans[mask] + inputs if mask else 0
        needs.append(context + max(run_bytes(instance, task), loading))
    return needs


def unavoidable_bytes(instance: Instance, task: int) -> int:
    """What every plan passes through for `task`: as `single_task_needs`, but its models may have been loaded before
    its predecessors' outputs were live."""
    return instance.problem.context_bytes + max(
        run_bytes(instance, task), load_span(instance, instance.need_lists[task])
    )


def refusal(instance: Instance) -> Refusal | None:
    """The certificate that no plan exists because one task alone is too large, or None.

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
