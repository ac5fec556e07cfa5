"""A card and an allocator made of numbers, which behave as the real ones are documented to."""

from dataclasses import dataclass, field

from pipelines.devices.nvidia import CardMemory
from pipelines.devices.protocol import Health
from pipelines.devices.torch_allocator import AllocatorBytes

MB = 10**6
OURS = 77


@dataclass
class FakeCard:
    """A driver and torch's allocator for one card. `lists_us` False is a container, where pids mean nothing."""

    total: int = 8000 * MB
    context: int = 400 * MB
    foreign: dict[int, int] = field(default_factory=dict)
    lists_us: bool = True
    cap: int | None = None
    running: bool = False
    outside: int = 0
    active: int = 0
    reserved: int = 0
    peak_active: int = 0
    peak_reserved: int = 0

    def count(self) -> int:
        return 1

    def card(self, index: int) -> CardMemory:
        used = self.ours() + sum(self.foreign.values())
        return CardMemory("Fake 8 GB", self.total, self.total - used, used)

    def ours(self) -> int:
        return (self.context if self.running else 0) + self.outside + self.reserved

    def processes(self, index: int) -> dict[int, int]:
        if not self.lists_us:
            return {}
        return {**self.foreign, **({OURS: self.ours()} if self.ours() else {})}

    def health(self, index: int) -> Health:
        return Health(0.5, 60.0, 100.0)

    def started(self) -> bool:
        return self.running

    def start(self, index: int) -> None:
        self.running = True

    def bytes(self, index: int) -> AllocatorBytes:
        return AllocatorBytes(
            self.active, self.active, self.reserved, self.peak_active, self.peak_active, self.peak_reserved
        )

    def reset_peak(self, index: int) -> None:
        self.peak_active, self.peak_reserved = self.active, self.reserved

    def empty_cache(self, index: int) -> None:
        self.reserved = self.active

    def limit(self, index: int, size: int | None) -> None:
        self.cap = size

    def allocate(self, size: int) -> None:
        """As torch does: reuse the cache, then take from the driver, up to the cap."""
        self.active += size
        if self.active > (self.total if self.cap is None else self.cap):
            self.active -= size
            raise RuntimeError("CUDA out of memory. Tried to allocate")
        self.reserved = max(self.reserved, self.active)
        self.peak_active = max(self.peak_active, self.active)
        self.peak_reserved = max(self.peak_reserved, self.reserved)

    def free(self, size: int) -> None:
        self.active -= size
