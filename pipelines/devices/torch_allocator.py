"""The caching allocator of torch for CUDA devices, behind a small protocol, so that the device is testable without a card."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class AllocatorBytes:
    """torch's caching allocator: bytes in tensors, in blocks that cannot be given back, taken from the driver."""

    allocated: int = 0
    active: int = 0
    reserved: int = 0
    peak_allocated: int = 0
    peak_active: int = 0
    peak_reserved: int = 0


class Allocator(Protocol):
    """torch's view. Nothing here initialises CUDA unless `start` is called."""

    def started(self) -> bool:
        """Whether torch holds a context in this process."""

    def start(self, index: int) -> None:
        """Make the context, so that its bytes can be measured."""

    def bytes(self, index: int) -> AllocatorBytes:
        """The allocator now, and its marks since `reset_peak`."""

    def reset_peak(self, index: int) -> None:
        """Bring the marks down to now."""

    def empty_cache(self, index: int) -> None:
        """Give cached blocks back to the driver."""

    def limit(self, index: int, size: int | None) -> None:
        """Refuse to reserve more than `size` bytes of the card; None lifts it."""


class TorchAllocator:
    """`Allocator` by `torch.cuda`. Does not import torch until somebody else has, but for `start`."""

    def started(self) -> bool:
        """Whether torch is imported and its CUDA context made."""
        torch = sys.modules.get("torch")
        return torch is not None and bool(torch.cuda.is_initialized())

    def start(self, index: int) -> None:
        """Make the context with one small allocation."""
        import torch

        torch.zeros(1, device=f"cuda:{index}")
        torch.cuda.synchronize(index)

    def bytes(self, index: int) -> AllocatorBytes:
        """The allocator now; zeros before it started."""
        if not self.started():
            return AllocatorBytes()
        import torch

        stats = torch.cuda.memory_stats(index)
        names = ("allocated_bytes", "active_bytes", "reserved_bytes")
        now = [int(stats.get(f"{name}.all.current", 0)) for name in names]
        peak = [int(stats.get(f"{name}.all.peak", 0)) for name in names]
        return AllocatorBytes(*now, *peak)

    def reset_peak(self, index: int) -> None:
        """Bring the marks down to now."""
        if self.started():
            import torch

            torch.cuda.reset_peak_memory_stats(index)

    def empty_cache(self, index: int) -> None:
        """Wait for the card, then give cached blocks back."""
        if self.started():
            import torch

            # After a fault on the card every call fails. It was raised where it happened; raised here, it would be hidden by this one.
            with suppress(RuntimeError):
                torch.cuda.synchronize(index)  # of the current card, another, it would make a context there
                torch.cuda.empty_cache()

    def limit(self, index: int, size: int | None) -> None:
        """Hold torch's reservations to so many bytes. No effect before `started`."""
        if self.started():
            import torch

            whole = torch.cuda.get_device_properties(
                index
            ).total_memory  # less than the driver's total, part of which is reserved
            share = 1.0 if size is None else min(1.0, max(0, size) / whole)
            with suppress(RuntimeError):  # as above
                torch.cuda.set_per_process_memory_fraction(share, index)
