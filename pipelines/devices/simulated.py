"""A simulated card of any size and name: what a real one would report and refuse, on any machine.

Two kinds of bytes. Torch models run on the CPU and their storages are counted as they come and go (`tensor_tracker`), as soon
as torch has been imported. Everything else (CTranslate2, onnxruntime, a bare ledger in a test) counts as declared.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from pipelines.devices.protocol import Device, DeviceOutOfMemory, Process, Reading
from pipelines.devices.tensor_tracker import TensorTracker, tensors_in
from pipelines.schema.errors import UsageError
from pipelines.schema.hardware import MemoryKind
from pipelines.schema.units import format_bytes


@dataclass
class SimulatedDevice(Device):
    """Counts context + what is held + what running steps use.

    context: bytes a card's libraries would hold, in every figure. Foreign processes and a shrinking card are simulated
    by setting `foreign` and `total_bytes`. track: False makes it a bare ledger.
    """

    kind: ClassVar[str] = "simulated"
    label: ClassVar[str] = "simulated card"
    virtual: ClassVar[bool] = True
    memory: ClassVar[MemoryKind] = "accelerator"
    computes_on_host: ClassVar[bool] = True
    measured_with: ClassVar[tuple[str, ...]] = ("torch",)

    total_bytes: int
    name: str = "simulated"
    context: int = 0
    foreign: tuple[Process, ...] = ()
    track: bool = True
    torch_device: str = field(default="cpu", init=False)
    limit_bytes: int | None = field(default=None, init=False)
    _declared: dict[str, int] = field(default_factory=dict, init=False)
    _open: list[_Watch] = field(default_factory=list, init=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False)
    _tracker: TensorTracker = field(init=False)

    def __post_init__(self) -> None:
        self._tracker = TensorTracker(lambda live: self._count())

    @classmethod
    def open(cls, index: int, total_bytes: int | None, name: str | None) -> Self:
        """A card of that size. Raises `UsageError` where no size is given."""
        if not total_bytes:
            raise UsageError("device=simulated needs a size; add device.total=8GiB, say.")
        return cls(total_bytes=total_bytes, name=name or "simulated card")

    @property
    def footprint_key(self) -> str:
        """The same for every simulated card: its name and size change no tensor."""
        return self.kind

    def used_bytes(self) -> int:
        """Context, declared holdings and live tensors. Declared workspaces count only inside a step's peak."""
        return self.context + sum(list(self._declared.values())) + self._tracker.live

    def context_bytes(self) -> int:
        """As given."""
        return self.context

    def assume_context(self, size: int) -> None:
        """What the libraries of a real card would hold, by the plan."""
        self.context = size

    def free_bytes(self) -> int:
        """What is left of the size, or of the cap, after us and the simulated others."""
        return max(0, self._room() - self.used_bytes())

    def others(self) -> tuple[Process, ...]:
        """The processes a test or a user has put there."""
        return tuple(sorted(self.foreign, key=lambda process: -process.bytes))

    @contextmanager
    def watch(self, declared_bytes: int = 0) -> Iterator[Reading]:
        """One step: tensors are tracked in this thread; `declared_bytes` counts where no tensor was touched.

        Raises `DeviceOutOfMemory` at once where the declared bytes have no room, and inside the step when tensors do not.
        """
        watch = _Watch(declared_bytes)
        reading = Reading(start_bytes=self.used_bytes())
        with self._lock:
            self._open.append(watch)
        try:
            self._count()
            with self._operations(watch):
                yield reading
        finally:
            with self._lock:
                self._open.remove(watch)
            reading.end_bytes = self.used_bytes()
            peak = watch.tracked_peak if watch.touched else watch.declared_peak
            reading.peak_bytes = max(peak, reading.start_bytes, reading.end_bytes)
            reading.source = self._source(watch)
            reading.beside = {"declared": watch.declared_peak, "tracked_live": self._tracker.live}

    def loaded(self, key: str, declared_bytes: int, made: Any = None) -> None:
        """Hold `key`: the tensors found in `made`, or `declared_bytes` where there are none."""
        tensors = tensors_in(made) if self.track and made is not None and "torch" in sys.modules else []
        with self._lock:
            self._declared[key] = 0 if tensors else declared_bytes
        for tensor in tensors:
            self._tracker.note(tensor)
        self._count()

    def unloaded(self, key: str) -> None:
        """Let go of the declared bytes of `key`; tensors count until they are really freed."""
        with self._lock:
            self._declared.pop(key, None)

    def reclaim(self) -> None:
        """Collect garbage, so that tensors in reference cycles are freed."""
        gc.collect()

    def cap(self, limit_bytes: int | None) -> None:
        """Refuse from here on what passes `limit_bytes`."""
        self.limit_bytes = limit_bytes

    def adopt(self, pid: int) -> None:
        """Nothing to count: a worker's bytes are declared."""

    def _operations(self, watch: _Watch) -> Any:
        if not self.track or "torch" not in sys.modules:
            return nullcontext()
        return self._tracker.operations(watch.touch)

    def _source(self, watch: _Watch) -> str:
        if not watch.touched:
            return "declared"
        return "tracked+declared" if any(self._declared.values()) else "tracked"

    def _room(self) -> int:
        room = self.total_bytes - sum(process.bytes for process in self.foreign)
        return room if self.limit_bytes is None else min(room, self.limit_bytes)

    def _count(self) -> None:
        """Note the present moment in every open watch, and refuse it if it has no room."""
        with self._lock:
            used = self.used_bytes()
            moment = used + sum(watch.declared for watch in self._open if not watch.touched)
            for watch in self._open:
                watch.see(moment)
        if moment > self._room():
            raise DeviceOutOfMemory(
                f"{self.name} is out of memory: {format_bytes(moment)} wanted, {format_bytes(self._room())} of "
                f"{format_bytes(self.total_bytes)} are ours."
            )


@dataclass(eq=False)
class _Watch:
    declared: int
    touched: bool = False
    declared_peak: int = 0
    tracked_peak: int = 0

    def touch(self) -> None:
        self.touched = True

    def see(self, moment: int) -> None:
        if self.touched:
            self.tracked_peak = max(self.tracked_peak, moment)
        else:
            self.declared_peak = max(self.declared_peak, moment)
