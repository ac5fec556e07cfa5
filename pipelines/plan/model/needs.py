"""How many bytes single tasks, and the loading of their models, need whatever the rest of the plan does.

loading a then b, each with a load peak above its weights:

bytes  |        ___ b's load peak: the highest moment
       |   __  |   |____
       |  |  |_|             a + b resident
       |__|    a resident
       +------------------------------ time
"""

from __future__ import annotations

from collections.abc import Iterable

from pipelines.plan.model.instance import Instance
from pipelines.schema.problem import Problem


def load_order(instance: Instance, models: Iterable[int]) -> list[int]:
    """`models` in the order that loads with the lowest peak.

    While one loads, those before it are resident, so the one whose load peak rises most above its weights goes first
    (swapping two neighbours shows that no other order is lower).
    """
    return sorted(models, key=lambda m: (instance.weights[m] - instance.load_peak[m], m))


def loading_peak(instance: Instance, models: Iterable[int]) -> int:
    """Highest bytes while `models` are loaded in `load_order` onto an empty device, nothing else counted."""
    peak = resident = 0
    for model in load_order(instance, models):
        peak = max(peak, resident + instance.load_peak[model])
        resident += instance.weights[model]
    return peak


def single_task_needs(instance: Instance) -> list[int]:
    """Bytes that suffice for each task alone, context included: its run, or the loading of its models while its inputs
    are live, whichever is higher. A refusal reports these as `needed_bytes`."""
    context = instance.problem.context_bytes
    peaks: dict[int, int] = {}
    needs = []
    for task, mask in enumerate(instance.needs):
        if mask not in peaks:
            peaks[mask] = loading_peak(instance, instance.need_lists[task])
        inputs = sum(instance.output[before] for before in instance.preds[task])
        loading = peaks[mask] + inputs if mask else 0
        needs.append(context + max(instance.run_bytes[task], loading))
    return needs


def unavoidable_bytes(instance: Instance, task: int) -> int:
    """Bytes every plan reaches because of `task`, context included: as `single_task_needs`, but its models may have been
    loaded before its inputs were live."""
    models = instance.need_lists[task]
    return instance.problem.context_bytes + max(instance.run_bytes[task], loading_peak(instance, models))


def least_bytes(problem: Problem) -> int:
    """Bytes no plan can do without, whatever its order: the context, or the highest unavoidable moment of one task."""
    instance = Instance.of(problem)
    needs = (unavoidable_bytes(instance, task) for task in range(len(problem.tasks)))
    return max(problem.context_bytes, max(needs, default=0))
