"""A device that is not there: any size and name, a ledger of declared bytes. Says what a card would see, on any machine."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pipelines.run.devices.protocol import DeviceOutOfMemory, Process, Reading
from pipelines.schema.units import format_bytes


@dataclass
class SimulatedDevice:
    """Counts context + what is held + what running steps may use, and refuses as a card would.

    context_bytes: what a card's libraries would hold, in every figure. Foreign processes and a shrinking card are
    simulated by setting `foreign` and `total_bytes`.
    """

    total_bytes: int
    name: str = "simulated"
    context_bytes: int = 0
    foreign: tuple[Process, ...] = ()
    kind: str = field(default="simulated", init=False)
    torch_device: str = field(default="cpu", init=False)
    limit_bytes: int | None = field(default=None, init=False)
    _held: dict[str, int] = field(default_factory=dict, init=False)
    _open: list[_Watch] = field(default_factory=list, init=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False)

    def used_bytes(self) -> int:
        """Context, weights and outputs held. Workspaces count only inside a step's peak."""
        with self._lock:
            return self.context_bytes + sum(self._held.values())

    def free_bytes(self) -> int:
        """What is left of the size after us and the simulated others."""
        return max(0, self.total_bytes - self.used_bytes() - sum(process.bytes for process in self.foreign))

    def others(self) -> tuple[Process, ...]:
        """The processes a test or a user has put there."""
        return tuple(sorted(self.foreign, key=lambda process: -process.bytes))

    @contextmanager
    def watch(self, declared_bytes: int = 0) -> Iterator[Reading]:
        """Count `declared_bytes` while the step lasts. Raises `DeviceOutOfMemory` where they have no room."""
        watch = _Watch(declared_bytes)
        reading = Reading(start_bytes=self.used_bytes(), source="declared")
        with self._lock:
            self._open.append(watch)
        try:
            self._count()
            yield reading
        finally:
            with self._lock:
                self._open.remove(watch)
            reading.end_bytes = self.used_bytes()
            reading.peak_bytes = max(watch.peak, reading.start_bytes, reading.end_bytes)

    def loaded(self, key: str, declared_bytes: int, made: Any = None) -> None:
        """Hold `declared_bytes` under `key`. Raises `DeviceOutOfMemory` where they have no room."""
        with self._lock:
            self._held[key] = declared_bytes
            self._count()

    def unloaded(self, key: str) -> None:
        """Let go of `key`."""
        with self._lock:
            self._held.pop(key, None)

    def reclaim(self) -> None:
        """Collect garbage; a ledger has no caches."""
        gc.collect()

    def cap(self, limit_bytes: int | None) -> None:
        """Refuse from here on what passes `limit_bytes`."""
        self.limit_bytes = limit_bytes

    def adopt(self, pid: int) -> None:
        """Nothing to count: a worker's bytes are in the declared figures."""

    def _count(self) -> None:
        """Note the present moment in every open watch, and refuse it if it has no room."""
        with self._lock:
            moment = self.used_bytes() + sum(watch.declared for watch in self._open)
            for watch in self._open:
                watch.peak = max(watch.peak, moment)
            room = self.total_bytes - sum(process.bytes for process in self.foreign)
        if moment > min(room, self.limit_bytes if self.limit_bytes is not None else room):
            raise DeviceOutOfMemory(
                f"{self.name} is out of memory: {format_bytes(moment)} wanted, "
                f"{format_bytes(room)} of {format_bytes(self.total_bytes)} are ours"
                + (f", the cap is {format_bytes(self.limit_bytes)}." if self.limit_bytes is not None else ".")
            )


@dataclass(eq=False)
class _Watch:
    declared: int
    peak: int = 0
