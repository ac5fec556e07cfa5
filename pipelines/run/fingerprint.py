"""What a task's result depends on: the key under which a resumed run recognises a result that it need not make again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipelines.run.artifacts import Artifacts
from pipelines.run.job import Job
from pipelines.run.tracked_settings import tracked_values
from pipelines.schema.ids import TaskId


def fingerprint(job: Job, artifacts: Artifacts, task: TaskId, names: Iterable[str]) -> dict[str, Any]:
    """Node, variant, weights, knobs, seed, and the digests of everything the task is made from.

    names: the settings that the task has read; no other setting counts. Raises `OSError` where an input is not there.
    """
    spec, variant = job.graph.node(task.node), job.variants.get(task.node)
    return {
        "node": task.node,
        "item": task.item,
        "target": variant.target if variant else spec.target,
        "variant": variant.name if variant else None,
        "weights": job.digests.get(variant.name) if variant else None,
        "knobs": dict(variant.knobs if variant else spec.knobs),
        "settings": tracked_values(job.items[task.item].settings, names, job.inputs),
        "seed": job.seed,
        "takes": dict(spec.inputs),
        "given": _given(job, artifacts, task),
    }


def _given(job: Job, artifacts: Artifacts, task: TaskId) -> dict[str, Any]:
    """The task's inputs by port: texts as they are, files and earlier results as digests."""
    given: dict[str, Any] = {}
    item = job.items[task.item]
    for port, source in job.graph.node(task.node).inputs.items():
        producer, _, name = source.partition(".")
        if producer != "item":
            given[port] = artifacts.content(task.item, producer, name)
        elif name == "text":
            given[port] = [item.settings.get("text"), item.settings.get("language")]
        elif path := item.path if name == "audio" else item.settings.get(name):
            given[port] = [job.inputs.get(str(path))]
    return given
