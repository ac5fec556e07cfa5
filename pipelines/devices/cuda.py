"""A CUDA card as a device: what the driver counts is the truth, torch's allocator stands beside it.

CTranslate2 and onnxruntime allocate past torch, and a CUDA context belongs to nobody's allocator; only the driver sees
all of it. The driver has no high-water mark, torch has one for its part. So a step's peak is

    max( bytes outside torch + torch's highest reservation,  the driver's own count, polled )

which is exact for torch and sampled for the rest. Blocks torch has cached but could reuse count as free.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar, Self

from pipelines.devices.nvidia import CardMemory, Driver, NvidiaProbe, Nvml
from pipelines.devices.peak_sampler import PeakSampler
from pipelines.devices.protocol import CardProbe, Device, Health, Process, Reading
from pipelines.devices.torch_allocator import Allocator, TorchAllocator
from pipelines.schema.errors import SurroundingsFailed
from pipelines.schema.hardware import MemoryKind

#: A context's size before it has been measured. Source: the tables of ACE-Step 1.5, which reserve 0.5 GB for it.
UNMEASURED_CONTEXT = 500_000_000


@dataclass
class CudaDevice(Device):
    """The card `cuda:index` with an injectable driver and allocator. `total_bytes` may be given smaller than the card."""

    kind: ClassVar[str] = "cuda"
    label: ClassVar[str] = "CUDA card"
    memory: ClassVar[MemoryKind] = "accelerator"
    numbered: ClassVar[bool] = True
    probe: ClassVar[CardProbe | None] = NvidiaProbe()
    environment: ClassVar[Mapping[str, str]] = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}

    driver: Driver
    allocator: Allocator = field(default_factory=TorchAllocator)
    index: int = 0
    total_bytes: int = 0
    name: str = ""
    pid: int = field(default_factory=os.getpid)
    sample_seconds: float = 0.02
    torch_device: str = field(default="", init=False)
    limit_bytes: int | None = field(default=None, init=False)
    _foreign_at_start: int = field(default=0, init=False)
    _context: int | None = field(default=None, init=False)
    _workers: set[int] = field(default_factory=set, init=False)
    _open: list[_Watch] = field(default_factory=list, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        card = self.driver.card(self.index)
        self.name = self.name or card.name
        self.torch_device = f"cuda:{self.index}"
        self.total_bytes = min(self.total_bytes, card.total) if self.total_bytes else card.total
        self._foreign_at_start = 0 if self.allocator.started() else card.used

    @classmethod
    def open(cls, index: int, total_bytes: int | None, name: str | None) -> Self | None:
        """The card that CUDA numbers `index`; None where there is none, or no driver."""
        # CUDA numbers cards by speed by default, NVML by bus; both must mean the same card.
        for variable, value in cls.environment.items():
            os.environ.setdefault(variable, value)
        try:
            driver = Nvml()
            if index >= driver.count():
                return None
            return cls(driver, index=index, total_bytes=total_bytes or 0, name=name or "")
        except (OSError, SurroundingsFailed):
            return None

    @property
    def spec(self) -> str:
        """`cuda:0`, as torch writes it."""
        return self.torch_device

    @property
    def title(self) -> str:
        """What sentences call it."""
        return f"GPU {self.index}"

    def used_bytes(self) -> int:
        """Ours by the driver, without the blocks torch has cached and can reuse."""
        return max(0, self._ours() - self._reusable())

    def free_bytes(self) -> int:
        """Driver's free + torch's reserved - active, at most what is left of the total and of the cap."""
        bounds = [self._card().free + self._reusable(), self.total_bytes - self.used_bytes()]
        if self.limit_bytes is not None:
            bounds.append(self.limit_bytes - self.used_bytes())
        return max(0, min(bounds))

    def context_bytes(self) -> int:
        """Bytes outside any allocator: measured once torch has started or `measure_context` ran, 0.5 GB before."""
        if self._context is None and self.allocator.started():
            self._context = max(0, self._ours() - self.allocator.bytes(self.index).reserved)
        return UNMEASURED_CONTEXT if self._context is None else self._context

    def measure_context(self) -> int:
        """Make the context and measure it; costs a second or so and initialises CUDA in this process."""
        self.allocator.start(self.index)
        return self.context_bytes()

    def others(self) -> tuple[Process, ...]:
        """Processes on the card that are not ours. Where the driver names none, the unexplained rest is one of pid 0."""
        named = {pid: size for pid, size in self.driver.processes(self.index).items() if pid not in self._ours_pids()}
        found = [Process(pid, _process_name(pid), size) for pid, size in named.items()]
        unnamed = self._card().used - self._ours()
        if not named and unnamed > 0 and not self._listed():
            found.append(Process(0, "other processes", unnamed))
        return tuple(sorted(found, key=lambda process: -process.bytes))

    def health(self) -> Health:
        """Utilisation, temperature and power now."""
        return self.driver.health(self.index)

    def framework_bytes(self) -> tuple[int, int]:
        """Bytes in tensors and bytes reserved, by torch's allocator."""
        now = self.allocator.bytes(self.index)
        return now.allocated, now.reserved

    @contextmanager
    def watch(self, declared_bytes: int = 0) -> Iterator[Reading]:
        """Measure one step by torch's marks and by polling the driver. `declared_bytes` is not used."""
        if not self._open:  # what torch has cached, other engines cannot use; and it is no part of this step's own peak
            self.allocator.empty_cache(self.index)
        self._apply_cap()
        reading = Reading(start_bytes=self.used_bytes())
        watch = _Watch(outside=self._outside())
        with self._lock:
            self._fold()
            self.allocator.reset_peak(self.index)
            self._open.append(watch)
        sampler = PeakSampler(self._ours, self.sample_seconds)
        try:
            yield reading
        finally:
            sampled = sampler.stop()
            with self._lock:
                self._fold()
                self._open.remove(watch)
            self._complete(reading, watch, sampled)

    def _complete(self, reading: Reading, watch: _Watch, sampled: int) -> None:
        """Fill in what a step's marks and samples showed."""
        outside = max(watch.outside, self._outside())
        reading.end_bytes = self.used_bytes()
        reading.peak_bytes = max(outside + watch.reserved, sampled, reading.start_bytes, reading.end_bytes)
        reading.source = "driver"
        reading.beside = {
            "torch_allocated": watch.allocated,
            "torch_active": watch.active,
            "torch_reserved": watch.reserved,
            "outside_torch": outside,
        }

    def reclaim(self) -> None:
        """Collect garbage and give torch's cached blocks back to the driver."""
        gc.collect()
        self.allocator.empty_cache(self.index)

    def cap(self, limit_bytes: int | None) -> None:
        """Have torch refuse what would take us over. What is outside torch now, the context first, is taken off."""
        self.limit_bytes = limit_bytes
        self._apply_cap()

    def adopt(self, pid: int) -> None:
        """Count a worker's bytes on the card as ours."""
        self._workers.add(pid)

    def _apply_cap(self) -> None:
        if not self.allocator.started():
            return  # the next watch sets it
        limit = self.limit_bytes
        self.allocator.limit(self.index, None if limit is None else max(0, limit - self._outside()))

    def _card(self) -> CardMemory:
        return self.driver.card(self.index)

    def _ours_pids(self) -> set[int]:
        return {self.pid, *self._workers}

    def _listed(self) -> int:
        """Our bytes by the driver's list; 0 where it has none of us: in a container its pids are often those of the host."""
        listed = self.driver.processes(self.index)
        return sum(listed.get(pid, 0) for pid in self._ours_pids())

    def _ours(self) -> int:
        """Our bytes on the card, caches included."""
        listed = self._listed()
        if listed:
            return listed
        reserved = self.allocator.bytes(self.index).reserved
        return max(reserved, self._card().used - max(self._foreign_at_start, 0))

    def _outside(self) -> int:
        return max(0, self._ours() - self.allocator.bytes(self.index).reserved)

    def _reusable(self) -> int:
        now = self.allocator.bytes(self.index)
        return max(0, now.reserved - now.active)

    def _fold(self) -> None:
        now = self.allocator.bytes(self.index)
        for watch in self._open:
            watch.allocated = max(watch.allocated, now.peak_allocated)
            watch.active = max(watch.active, now.peak_active)
            watch.reserved = max(watch.reserved, now.peak_reserved)


@dataclass(eq=False)
class _Watch:
    outside: int
    allocated: int = 0
    active: int = 0
    reserved: int = 0


def _process_name(pid: int) -> str:
    import psutil

    try:
        return str(psutil.Process(pid).name())
    except psutil.Error:
        return "?"
