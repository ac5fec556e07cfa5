"""Turns the measured steps of a run into observations for the footprint store, which later plans learn from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from pipelines.devices.protocol import Device
from pipelines.footprints.store import FootprintStore, Key, Observation
from pipelines.graph.expand import footprint_of, is_isolated
from pipelines.run.outcome import Observed
from pipelines.schema.config import Variant, evaluate
from pipelines.schema.ids import TaskId
from pipelines.schema.plan import Run

#: Readings that are measurements; the others only repeat the plan.
MEASURED = ("kernel", "driver", "tracked")


def keep_observations(
    store: FootprintStore, observed: Sequence[Observed], device: Device, failed: Collection[str] = ()
) -> int:
    """Keep what a run measured of its variants' workspaces. Returns the number of observations kept.

    Bytes are above the level after the last load or unload, as `measure` counts them: what earlier runs of the node left
    behind is its own. Left out are loads, because the first also brings what stays for good; steps beside a prefetch, which
    shared the device; and `failed` tasks, which broke off. Of a node in a process of its own, one failed task leaves out the
    others too: they may have been given a new process.
    """
    broken = {TaskId.parse(task).node for task in failed}
    kept = 0
    for seen, task, level in _with_levels(observed):
        variant = seen.job.variants.get(task.node)
        if variant is None or not seen.undisturbed or seen.source not in MEASURED or seen.peak_bytes < level:
            continue
        if str(task) in failed or (task.node in broken and is_isolated(variant)):
            continue
        digest = seen.job.digests.get(variant.name, "")
        store.add(Key.of(variant, digest, device.footprint_key), [_observation(seen, task, variant, level, device)])
        kept += 1
    return kept


def _observation(seen: Observed, task: TaskId, variant: Variant, level: int, device: Device) -> Observation:
    job, item, segment = seen.job, seen.job.items[task.item], variant.knobs.get("segment")
    footprint = footprint_of(job.graph, task.node, job.variants, device.memory)
    return Observation(
        "run",
        seen.peak_bytes - level,
        seen.seconds,
        held_bytes=seen.end_bytes - seen.start_bytes,
        item_seconds=item.seconds,
        channels=item.channels,
        characters=item.characters,
        batch=float(variant.knobs.get("batch") or 1),
        segment=float(segment) if segment else None,
        predicted_bytes=round(evaluate(footprint.workspace, item, variant.knobs)),
        source=seen.source,
    )


def _with_levels(observed: Sequence[Observed]) -> Iterator[tuple[Observed, TaskId, int]]:
    """Runs of a single task, with that task, and the lowest level its node has started from since a model was moved."""
    lowest: dict[str, int] = {}
    for seen in observed:
        if not isinstance(seen.step, Run):
            lowest.clear()
        elif len(seen.step.tasks) == 1:
            task = TaskId.parse(seen.step.tasks[0])
            lowest[task.node] = min(lowest.get(task.node, seen.start_bytes), seen.start_bytes)
            yield seen, task, lowest[task.node]
