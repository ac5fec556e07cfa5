"""A device as the engine sees it: where memory is counted, measured and limited. Simulations and tests implement it too."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

from pipelines.devices.torch_build import TorchBuild
from pipelines.schema.hardware import Card, Hardware, MemoryKind


@dataclass(frozen=True, slots=True)
class Process:
    """A process that is not ours and holds memory of the device. `bytes` is 0 where the driver does not say."""

    pid: int
    name: str
    bytes: int


@dataclass(slots=True)
class Reading:
    """The memory of one step, complete once its `watch` has ended. All figures are bytes, context included.

    peak_bytes: the highest moment. start_bytes, end_bytes: what counted before and after.
    source: how the peak is known: `kernel` (a high-water mark), `driver` (the card's own count plus the allocator's
    high-water mark), `tracked` (tensor bytes seen by a dispatch mode), `declared` (figures of the plan, nothing was
    measured), `tracked+declared` (both kinds of model at once), `sampled` (polled; short peaks may be missed).
    beside: what else the device knows about the step, in bytes, by name (torch's own counters on CUDA).
    """

    start_bytes: int = 0
    end_bytes: int = 0
    peak_bytes: int = 0
    source: str = ""
    beside: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Health:
    """How a card is doing; None where it does not say. utilisation 0..1, temperature in Celsius, power in watts."""

    utilisation: float | None = None
    temperature: float | None = None
    power: float | None = None
    throttled: bool = False


@dataclass(frozen=True, slots=True)
class FoundCards:
    """The cards of one kind of device. driver: its version. cuda: the newest CUDA it speaks. trouble: a line where the driver is
    there but broken, or a card does not answer."""

    cards: tuple[Card, ...] = ()
    driver: str = ""
    cuda: tuple[int, int] | None = None
    trouble: str = ""


class CardProbe(Protocol):
    """Finds the cards of one kind of device, without importing a framework."""

    def fingerprint(self) -> str:
        """A cheap text that changes whenever `find` might answer otherwise."""

    def find(self) -> FoundCards:
        """The cards that this process may use. Raises nothing: what fails is `FoundCards.trouble`."""

    def why_unusable(self, card: Card, hardware: Hardware, torch: TorchBuild | None) -> str:
        """Why the installed torch cannot use `card`, with the next thing to do; empty where nothing is known against it."""


class DeviceOutOfMemory(MemoryError):
    """The device (a simulated one, or the cap we set) has no room. Treated as any library's own out-of-memory error."""


class Device(Protocol):
    """Where memory is counted. Figures are bytes, as a user would see them in `nvidia-smi` or `top`.

    A kind of device is a class that inherits this one: what is declared here with a body is the usual case.

    Of the kind:

    kind: its name in `device=` and in records. label: what sentences call one of them, after "no such".
    memory: whose footprints apply to it. computes_on_host: whether models compute on the CPU, in this process.
    numbered: whether a machine may have several (`cuda:1`). virtual: whether nothing real is behind it; then its size and
    name are those of the settings, and `device=auto` is never one.
    probe: finds the cards of this kind for `headroom detect` and `tier=auto`; None for a kind without cards.
    environment: variables that must be set before torch is imported.
    measured_with: modules to import before the first `watch`, so that its figures are measurements.

    Of the one device: name, for people; torch_device, what `Place` and `Context` give to nodes; total_bytes, its size,
    never more than the machine has unless the device is a simulation; limit_bytes, the cap in force.
    """

    kind: ClassVar[str]
    memory: ClassVar[MemoryKind]
    label: ClassVar[str] = "device"
    computes_on_host: ClassVar[bool] = False
    numbered: ClassVar[bool] = False
    virtual: ClassVar[bool] = False
    probe: ClassVar[CardProbe | None] = None
    environment: ClassVar[Mapping[str, str]] = {}
    measured_with: ClassVar[tuple[str, ...]] = ()

    name: str
    torch_device: str
    total_bytes: int
    limit_bytes: int | None

    @classmethod
    def open(cls, index: int, total_bytes: int | None, name: str | None) -> Self | None:
        """Device number `index` of this kind; None where the machine has none.

        total_bytes: a smaller size to keep to, or the size where `virtual`. name: instead of its own.
        """

    @property
    def spec(self) -> str:
        """What `open_device` opens this device by: `cpu`, `cuda:1`."""
        return self.kind

    @property
    def title(self) -> str:
        """What sentences call it, at their beginning."""
        return self.name

    @property
    def footprint_key(self) -> str:
        """What of the device a measured footprint depends on. Two devices with the same key share their measurements."""
        return f"{self.kind}/{self.name}"

    def used_bytes(self) -> int:
        """Everything of ours that counts now: context, weights, outputs, allocator caches that cannot be reused."""

    def context_bytes(self) -> int:
        """What counts before any model is loaded: imported libraries, a CUDA context. Measured where it can be."""

    def free_bytes(self) -> int:
        """What could be allocated now, given every other process on the machine."""

    def others(self) -> tuple[Process, ...]:
        """Other processes that hold memory of the device, largest first."""

    def health(self) -> Health | None:
        """Utilisation, temperature and power now; None where the device has no such figures."""
        return None

    def framework_bytes(self) -> tuple[int, int]:
        """Bytes in tensors, and bytes that torch's allocator has reserved; `used_bytes` twice where it has none of its own."""
        used = self.used_bytes()
        return used, used

    def assume_context(self, size: int) -> None:
        """Count `size` bytes as the context, where it is not measured. The others pass over it."""
        return

    def watch(self, declared_bytes: int = 0) -> AbstractContextManager[Reading]:
        """Measure one step, in the thread that does its work. Watches may overlap (a prefetch during a run).

        declared_bytes: what the plan allows this step above what is held when it begins (workspaces and outputs of a
        run; load_peak of a load). Only a device that cannot measure uses it, and then `Reading.source` says so.
        """

    def loaded(self, key: str, declared_bytes: int, made: Any = None) -> None:
        """Count `key` (the id of a model or task) as held from now on; called after the `watch` of its load.

        declared_bytes: its weights by the plan. made: what `Node.load` returned, so that its real bytes can be counted.
        A device that measures has nothing to do here.
        """
        return

    def unloaded(self, key: str) -> None:
        """Count `key` as held no longer. Unknown keys are ignored, so that it may be called while an error is handled."""
        return

    def reclaim(self) -> None:
        """Collect garbage and give caches back, so that freed bytes show in `used_bytes`."""

    def cap(self, limit_bytes: int | None) -> None:
        """Hold our own use to `limit_bytes` for real, as far as the device can; None lifts it."""

    def adopt(self, pid: int) -> None:
        """Count the process `pid` (a worker of ours) from now on; it is forgotten by itself once it has died."""
