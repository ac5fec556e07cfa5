"""A limit held against reality: the bytes a plan wants are free before it starts, and nothing passes the limit while it runs.

Nothing here decides what to do about it; a finding is data with a sentence, for the engine and the recovery.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pipelines.devices.protocol import Device, Process
from pipelines.schema.units import GIB

_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Room:
    """Whether a device has the bytes a plan wants. others: who else holds memory of it, largest first."""

    device: str
    needed_bytes: int
    free_bytes: int
    others: tuple[Process, ...] = ()

    @property
    def enough(self) -> bool:
        """Whether it can start."""
        return self.free_bytes >= self.needed_bytes

    @property
    def sentence(self) -> str:
        """`GPU 0 has 5.0 GiB free: 2.9 GiB used by others, pid 4242 python 2.7 GiB.`"""
        text = f"{self.device} has {_gib(self.free_bytes)} free"
        if self.others:
            total = sum(process.bytes for process in self.others)
            named = [f"pid {each.pid} {each.name} {_gib(each.bytes)}" for each in self.others[:3] if each.pid]
            text += f": {', '.join([f'{_gib(total)} used by others', *named])}"
        if self.enough:
            return text + "."
        return f"{text}; {_gib(self.needed_bytes)} is wanted. Close what is not needed, or choose a smaller tier."


def room_for(
    device: Device, needed_bytes: int, wait_seconds: float = 0.0,
    clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
) -> Room:  # fmt: skip
    """Poll the device until `needed_bytes` more are free, for at most `wait_seconds`: other processes may be just ending."""
    deadline = clock() + wait_seconds
    device.reclaim()
    while device.free_bytes() < needed_bytes and clock() < deadline:
        sleep(_POLL_SECONDS)
    free = device.free_bytes()
    return Room(device.title, needed_bytes, free, () if free >= needed_bytes else device.others())


@contextmanager
def capped(device: Device, limit_bytes: int | None) -> Iterator[None]:
    """Hold our own use of the device to the limit for as long as the block lasts."""
    device.cap(limit_bytes)
    try:
        yield
    finally:
        device.cap(None)


def worker_limit(device: Device) -> int | None:
    """Bytes of RAM that a worker process started now may hold: what is left of the cap. None where the limit is not about RAM."""
    if device.memory != "host" or device.limit_bytes is None:
        return None
    return max(0, device.limit_bytes - device.used_bytes())


def _gib(count: int) -> str:
    return f"{count / GIB:.1f} GiB"
