"""A kind of device that exists nowhere: the example of docs/adding-a-device.md, in the one file that a new kind takes.

Its memory is a ledger of this module's `Vendor`, which stands for what a maker's driver would report.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from pipelines.devices.protocol import CardProbe, Device, FoundCards, Process, Reading
from pipelines.devices.torch_build import TorchBuild
from pipelines.schema.hardware import Card, Hardware, MemoryKind
from pipelines.schema.units import GIB, MIB


class Vendor:
    """The driver: two cards of 6 GiB, and 200 MiB of one for whoever has opened it."""

    cards = ("Toy 6 GB", "Toy 6 GB")
    total_bytes = 6 * GIB
    context_bytes = 200 * MIB


class ToyProbe:
    """`CardProbe` of toy cards."""

    def fingerprint(self) -> str:
        """The names of the cards."""
        return ", ".join(Vendor.cards)

    def find(self) -> FoundCards:
        """All of them."""
        cards = (Card(name, Vendor.total_bytes, kind="toy", index=index) for index, name in enumerate(Vendor.cards))
        return FoundCards(tuple(cards), driver="toy 1.0")

    def why_unusable(self, card: Card, hardware: Hardware, torch: TorchBuild | None) -> str:
        """Any torch can use a toy."""
        return ""


@dataclass
class ToyDevice(Device):
    """The card `toy:index`. Counts the context, and the weights that the engine says are held."""

    kind: ClassVar[str] = "toy"
    label: ClassVar[str] = "toy card"
    memory: ClassVar[MemoryKind] = "accelerator"
    computes_on_host: ClassVar[bool] = True
    numbered: ClassVar[bool] = True
    probe: ClassVar[CardProbe | None] = ToyProbe()

    index: int
    total_bytes: int
    name: str
    torch_device: str = "cpu"
    limit_bytes: int | None = field(default=None, init=False)
    _held: dict[str, int] = field(default_factory=dict, init=False)

    @classmethod
    def open(cls, index: int, total_bytes: int | None, name: str | None) -> Self | None:
        if index >= len(Vendor.cards):
            return None
        size = min(total_bytes or Vendor.total_bytes, Vendor.total_bytes)
        return cls(index, size, name or Vendor.cards[index])

    @property
    def spec(self) -> str:
        return f"{self.kind}:{self.index}"

    def used_bytes(self) -> int:
        return Vendor.context_bytes + sum(self._held.values())

    def context_bytes(self) -> int:
        return Vendor.context_bytes

    def free_bytes(self) -> int:
        limit = self.total_bytes if self.limit_bytes is None else min(self.limit_bytes, self.total_bytes)
        return max(0, limit - self.used_bytes())

    def others(self) -> tuple[Process, ...]:
        return ()

    @contextmanager
    def watch(self, declared_bytes: int = 0) -> Iterator[Reading]:
        reading = Reading(start_bytes=self.used_bytes(), source="declared")
        try:
            yield reading
        finally:
            reading.end_bytes = self.used_bytes()
            reading.peak_bytes = max(reading.start_bytes + declared_bytes, reading.end_bytes)

    def loaded(self, key: str, declared_bytes: int, made: Any = None) -> None:
        self._held[key] = declared_bytes

    def unloaded(self, key: str) -> None:
        self._held.pop(key, None)

    def reclaim(self) -> None:
        pass

    def cap(self, limit_bytes: int | None) -> None:
        self.limit_bytes = limit_bytes

    def adopt(self, pid: int) -> None:
        pass
