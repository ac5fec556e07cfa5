"""What a run does before and after the engine: import libraries, keep what was measured, draw the trace."""

from __future__ import annotations

import gc
import importlib
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from pipelines.devices.protocol import Device
from pipelines.footprints.store import FootprintStore, Key, Observation
from pipelines.graph.expand import footprint_of, is_isolated
from pipelines.run.job import Job
from pipelines.run.outcome import Observed
from pipelines.run.trace import write_memory_png, write_trace
from pipelines.schema.config import evaluate
from pipelines.schema.hardware import MemoryKind
from pipelines.schema.ids import TaskId
from pipelines.schema.plan import Run
from pipelines.schema.record import Event

#: Readings that are measurements; the others only repeat the plan.
_MEASURED = ("kernel", "driver", "tracked")


def libraries_of(job: Job, memory: MemoryKind) -> list[str]:
    """The libraries that the job's nodes import into this process, as their footprints name them."""
    names: set[str] = set()
    for node in job.graph.order:
        if not (node in job.choice and is_isolated(job.choice[node])):
            names |= set(footprint_of(job.graph, node, job.choice, memory).context)
    return sorted(names)


def warm_up(libraries: Iterable[str]) -> list[str]:
    """Import what will be needed anyway, so that a step's peak holds its own bytes and not an import's. Returns what was imported.

    A name that is no module (a card's context, say) is skipped.
    """
    found = []
    for name in libraries:
        try:
            with warnings.catch_warnings():  # a library's warnings about its own imports are for its developers
                warnings.simplefilter("ignore")
                importlib.import_module(name)
        except ImportError:
            continue
        found.append(name)
    # Modules stay: the collections after each unload need not go through them, which took 0.2 s with torch and librosa.
    gc.collect()
    gc.freeze()
    return found


def remember(store: FootprintStore, observed: Sequence[Observed], device: Device, failed: Collection[str] = ()) -> int:
    """Keep what a run measured of its variants' workspaces. Steps beside a prefetch are left out: they shared the device.

    Bytes are above the level after the last load or unload, as `measure` counts them: what earlier runs of the node left
    behind is its own. Returns the number of observations kept. Loads are not kept: the first also brings what stays.
    Nor are `failed` tasks, which broke off; of a node in a process of its own the others neither, which may have been given a new one.
    """
    kept, broken = 0, {TaskId.parse(task).node for task in failed}
    for seen, task, level in _with_levels(observed):
        if not seen.alone or seen.source not in _MEASURED:
            continue
        job, task_id = seen.job, TaskId.parse(task)
        node = task_id.node
        variant = job.choice.get(node)
        if variant is None or seen.peak_bytes < level:
            continue
        if task in failed or (node in broken and is_isolated(variant)):
            continue
        item, footprint = job.items[task_id.item], footprint_of(job.graph, node, job.choice, device.memory)
        segment = variant.knobs.get("segment")
        observation = Observation(
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
        store.add(Key.of(variant, job.digests.get(variant.name, ""), device.footprint_key), [observation])
        kept += 1
    return kept


def _with_levels(observed: Sequence[Observed]) -> Iterator[tuple[Observed, str, int]]:
    """Runs of one task, with that task, each with the lowest level from which its node has started since models were last moved."""
    lowest: dict[str, int] = {}
    for seen in observed:
        if not isinstance(seen.step, Run):
            lowest.clear()
        elif len(seen.step.tasks) == 1:
            node = TaskId.parse(seen.step.tasks[0]).node
            lowest[node] = min(lowest.get(node, seen.start_bytes), seen.start_bytes)
            yield seen, seen.step.tasks[0], lowest[node]


def draw(folder: Path, events: Sequence[Event], limit_bytes: int | None, title: str, *, picture: bool) -> None:
    """`trace.json` for Perfetto, and `memory.png` where matplotlib is installed and a picture is wanted."""
    write_trace(folder / "trace.json", events, limit_bytes)
    if picture:
        try:
            write_memory_png(folder / "memory.png", events, limit_bytes, title)
        except ImportError:
            return
