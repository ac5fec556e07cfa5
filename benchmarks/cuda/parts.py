"""What is measured on a card, each a function of a device and of `Clockwork`, so that it can be tried without a card."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipelines.devices.out_of_memory import is_out_of_memory
from pipelines.devices.protocol import Device
from pipelines.devices.tensor_tracker import TensorTracker


@dataclass(frozen=True)
class Clockwork:
    """What the parts ask of torch.cuda. peak_allocated(): since reset_peak(), in bytes."""

    synchronize: Callable[[], None]
    reset_peak: Callable[[], None]
    allocated: Callable[[], int]
    peak_allocated: Callable[[], int]
    clock: Callable[[], float] = time.perf_counter

    def seconds(self, work: Callable[[], object]) -> float:
        """Of `work`, to the end of what it queued."""
        self.synchronize()
        begun = self.clock()
        work()
        self.synchronize()
        return self.clock() - begun


def tracker_error(device: Device, clockwork: Clockwork, network: Any, sound: Callable[[], Any]) -> dict[str, Any]:
    """Tracked peak of one inference against the allocator's own, both above what was held before."""
    import torch

    with torch.inference_mode():
        network(sound())  # libraries make their handles and plans now
        tracker = TensorTracker()
        for tensor in [*network.parameters(), *network.buffers()]:
            tracker.note(tensor)
        weights, peak = tracker.live, [tracker.live]
        tracker = TensorTracker(changed=peak.append)
        for tensor in [*network.parameters(), *network.buffers()]:
            tracker.note(tensor)
        clockwork.synchronize()
        clockwork.reset_peak()
        before = clockwork.allocated()
        with tracker.operations():
            network(sound())
        clockwork.synchronize()
    tracked, allocated = max(peak) - weights, clockwork.peak_allocated() - before
    error = (tracked - allocated) / allocated
    return {"tracked_bytes": tracked, "allocated_bytes": allocated, "error": round(error, 4), "ok": abs(error) <= 0.05}


def under_cap(device: Device, limit: int, allocate: Callable[[int], Any], sizes: list[int]) -> dict[str, Any]:
    """Allocate up to and past a cap: the peak stays under it, and memory trouble is recognised as such."""
    kept, refused, strange = [], 0, []
    device.cap(limit)
    try:
        with device.watch() as reading:
            for size in sizes:
                try:
                    kept.append(allocate(size))
                except Exception as error:
                    refused += 1
                    if not is_out_of_memory(error):
                        strange.append(str(error))
                    kept.clear()
                    device.reclaim()
    finally:
        device.cap(None)
        kept.clear()
        device.reclaim()
    over = reading.peak_bytes > limit
    return {
        "limit_bytes": limit, "peak_bytes": reading.peak_bytes, "refused": refused, "strange": strange,
        "ok": not over and refused > 0 and not strange,
    }  # fmt: skip


def returned(device: Device, build: Callable[[], Any]) -> dict[str, Any]:
    """Bytes a network's load took and what of them came back after it was let go."""
    device.reclaim()
    before = device.used_bytes()
    network = build().to(device.torch_device)
    held = device.used_bytes() - before
    del network
    device.reclaim()
    kept = device.used_bytes() - before
    return {"held_bytes": held, "kept_bytes": kept, "ok": kept <= 0.02 * held + 2 * 2**20}
