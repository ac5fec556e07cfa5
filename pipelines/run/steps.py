"""Facts about a plan's steps that carrying them out needs: planned peaks, which steps belong together, what events say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.run.job import Job
from pipelines.schema.ids import parts
from pipelines.schema.plan import Load, Plan, Run, Step, Unload


def predicted_peaks(job: Job, plan: Plan) -> list[int]:
    """The highest moment of each step as planned, in bytes: of a load its load peak, of a run its own peak."""
    peaks = []
    for step in plan.steps:
        if isinstance(step, Run):
            peaks.append(step.peak_bytes)
        elif isinstance(step, Load) and step.during is None:
            model = job.problem.models[step.model]
            peaks.append(step.resident_bytes - model.weights_bytes + max(model.load_peak_bytes, model.weights_bytes))
        elif isinstance(step, Unload):
            peaks.append(step.resident_bytes + job.problem.models[step.model].weights_bytes)
        else:
            peaks.append(step.resident_bytes)
    return peaks


def with_prefetches(steps: Sequence[Step], index: int) -> Sequence[Step]:
    """The step at `index` with the prefetches before it: they happen together."""
    end = index
    while end < len(steps) - 1:
        step = steps[end]
        if not (isinstance(step, Load) and step.during is not None):
            break
        end += 1
    return steps[index : end + 1]


def first_broken(job: Job, predicted: Sequence[int], at: int, subject: str, more: int, *, loading: bool) -> int | None:
    """The first step from `at` on that passes the limit if `subject` (a variant, or a node without one) takes `more` bytes
    than planned: of its weights (loading) in every step while it is held, else in its own runs."""
    limit, held = job.plan.limit_bytes, loading
    if limit is None:
        return None
    for index, step in enumerate(job.plan.steps[at:], at):
        if not isinstance(step, Run):
            held = held if step.model != subject else loading and isinstance(step, Load)
        if isinstance(step, Unload) or predicted[index] + more <= limit:
            continue
        if held or (isinstance(step, Run) and subject in _subjects(job, step)):
            return index
    return None


def _subjects(job: Job, step: Run) -> set[str]:
    return {job.subject_of(one) for task in step.tasks for one in parts(task)}


def facts(step: Step) -> Mapping[str, Any]:
    """What events say of a step."""
    if isinstance(step, Run):
        return {"op": "run", "tasks": step.tasks}
    during = {"during": step.during} if isinstance(step, Load) and step.during else {}
    return {"op": step.op, "model": step.model, **during}
