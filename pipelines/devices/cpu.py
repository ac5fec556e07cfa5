"""The CPU as a device: this process's resident set (and its workers'), libraries included, as `top` shows it."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar, Self

from pipelines.devices import glibc
from pipelines.devices.linux import LinuxMemory
from pipelines.devices.peak_sampler import PeakSampler
from pipelines.devices.protocol import Device, Process, Reading
from pipelines.schema.hardware import MemoryKind
from pipelines.schema.units import MIB

#: Processes below this are not worth a line when a person asks who holds the memory.
_WORTH_NAMING = 64 * MIB


@dataclass
class CpuDevice(Device):
    """Memory as the kernel counts it. A step's peak is the kernel's high-water mark, reset when the step begins.

    Where the mark cannot be reset (a hardened container, another system), readings are sampled every
    `sample_seconds`, and their `source` is `sampled`. `total_bytes` is the RAM this process may hold unless given smaller.
    """

    kind: ClassVar[str] = "cpu"
    label: ClassVar[str] = "CPU"
    memory: ClassVar[MemoryKind] = "host"
    computes_on_host: ClassVar[bool] = True

    total_bytes: int = 0
    system: LinuxMemory = field(default_factory=LinuxMemory)
    pid: int = field(default_factory=os.getpid)
    sample_seconds: float = 0.005
    name: str = "CPU"
    torch_device: str = field(default="cpu", init=False)
    limit_bytes: int | None = field(default=None, init=False)
    _workers: set[int] = field(default_factory=set, init=False)
    _open: list[_Watch] = field(default_factory=list, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        have = self.system.total_bytes()
        self.total_bytes = min(self.total_bytes, have) if self.total_bytes else have

    @classmethod
    def open(cls, index: int, total_bytes: int | None, name: str | None) -> Self:
        """This machine's memory. The allocator of this process is made steady first (`glibc`)."""
        glibc.fix_thresholds()
        return cls(total_bytes=total_bytes or 0, name=name or "CPU")

    @property
    def title(self) -> str:
        """What sentences call it."""
        return "This machine"

    @property
    def footprint_key(self) -> str:
        """The number of cores: torch's threads change workspaces."""
        return f"{self.kind}/{os.cpu_count()}"

    def used_bytes(self) -> int:
        """Resident sets of this process and its living workers. Pages they share count once for each."""
        for pid in tuple(self._workers):  # others adopt, and forget, while this looks
            if not self.system.resident_bytes(pid):
                self._workers.discard(pid)
        return sum(self.system.resident_bytes(pid) for pid in self._pids())

    def context_bytes(self) -> int:
        """This process as it is now; ask before anything is loaded."""
        return self.used_bytes()

    def free_bytes(self) -> int:
        """What the machine could still give us, at most what is left of `total_bytes`."""
        return max(0, min(self.total_bytes - self.used_bytes(), self.system.available_bytes()))

    def others(self) -> tuple[Process, ...]:
        """Processes outside this one's tree that hold 64 MiB or more, at most eight."""
        import psutil

        own = {*self._pids(), *(child.pid for child in psutil.Process(self.pid).children(recursive=True))}
        found = []
        for process in psutil.process_iter(["pid", "name", "memory_info"]):
            memory = process.info["memory_info"]
            if memory is not None and memory.rss >= _WORTH_NAMING and process.info["pid"] not in own:
                found.append(Process(process.info["pid"], process.info["name"] or "?", memory.rss))
        return tuple(sorted(found, key=lambda process: -process.bytes)[:8])

    @contextmanager
    def watch(self, declared_bytes: int = 0) -> Iterator[Reading]:
        """Measure one step. `declared_bytes` is not used: the kernel knows."""
        reading = Reading(start_bytes=self.used_bytes())
        watch = _Watch(reading.start_bytes)
        with self._lock:
            # Resetting the mark would blind the watches already open, so they read it first.
            self._fold()
            reset = [self.system.reset_peak(pid) for pid in self._pids()]
            self._open.append(watch)
        sampler = None if all(reset) else PeakSampler(self.used_bytes, self.sample_seconds)
        try:
            yield reading
        finally:
            with self._lock:
                self._fold()
                self._open.remove(watch)
            reading.end_bytes = self.used_bytes()
            sampled = sampler.stop() if sampler else 0
            seen = sampled if sampler else watch.peak
            reading.peak_bytes = max(seen, reading.start_bytes, reading.end_bytes)
            reading.source = "sampled" if sampler else "kernel"

    def reclaim(self) -> None:
        """Collect garbage and have the allocator return its free pages."""
        gc.collect()
        glibc.trim()

    def cap(self, limit_bytes: int | None) -> None:
        """Remember the limit. A process cannot hold its own resident set down; workers get an rlimit from it."""
        self.limit_bytes = limit_bytes

    def adopt(self, pid: int) -> None:
        """Count a worker from now on."""
        self._workers.add(pid)

    def _pids(self) -> list[int]:
        return [self.pid, *sorted(self._workers)]

    def _fold(self) -> None:
        if not self._open:
            return
        mark = sum(self.system.peak_bytes(pid) or self.system.resident_bytes(pid) for pid in self._pids())
        for watch in self._open:
            watch.peak = max(watch.peak, mark)


@dataclass(eq=False)
class _Watch:
    peak: int
