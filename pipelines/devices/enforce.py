"""Holding a limit against reality: room before the start, the cap during, bytes back after each unload.

Nothing here decides what to do about it; findings are data, with a sentence each, for the engine and the ladder.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipelines.devices.protocol import Device, Process
from pipelines.files import write_atomic
from pipelines.schema.units import GIB, MIB

Clock = Callable[[], float]
Sleep = Callable[[float], None]

#: Of what a model held, this much must come back; allocators keep a little for good.
RETURN_SHARE = 0.75
#: Less than this is not called a leak, whatever its share: one arena of an allocator.
RETURN_NOISE = 32 * MIB
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


@dataclass(frozen=True, slots=True)
class Return:
    """What an unload gave back. held_bytes: what the model's load had taken; kept_bytes: what of it did not come back."""

    model: str
    held_bytes: int
    kept_bytes: int
    seconds: float

    @property
    def clean(self) -> bool:
        """Whether enough came back to go on as planned."""
        return self.kept_bytes <= max(RETURN_NOISE, (1 - RETURN_SHARE) * self.held_bytes)

    @property
    def sentence(self) -> str:
        """For the record and the screen."""
        held, kept = f"{self.held_bytes / MIB:,.0f} MiB", f"{self.kept_bytes / MIB:,.0f} MiB"
        if self.clean:
            return f"{self.model} gave its {held} back."
        return (
            f"{self.model} keeps {kept} of {held} {self.seconds:.1f} s after its unload: it leaks. "
            "It will run in a process of its own next time."
        )


def room_for(
    device: Device,
    needed_bytes: int,
    wait_seconds: float = 0.0,
    clock: Clock = time.monotonic,
    sleep: Sleep = time.sleep,
) -> Room:
    """Poll the device until `needed_bytes` more are free, for at most `wait_seconds`; others may be just ending."""
    deadline = clock() + wait_seconds
    device.reclaim()
    while device.free_bytes() < needed_bytes and clock() < deadline:
        sleep(_POLL_SECONDS)
    free = device.free_bytes()
    return Room(device.title, needed_bytes, free, () if free >= needed_bytes else device.others())


@contextmanager
def capped(device: Device, limit_bytes: int | None) -> Iterator[None]:
    """Hold our own use to the limit for as long as the block lasts."""
    device.cap(limit_bytes)
    try:
        yield
    finally:
        device.cap(None)


def worker_limit(device: Device) -> int | None:
    """RAM that a worker started now may hold: what is left of the cap where the device's memory is RAM. None: no rlimit."""
    limit: int | None = getattr(device, "limit_bytes", None)
    return None if device.memory != "host" or limit is None else max(0, limit - device.used_bytes())


def bytes_returned(
    device: Device, model: str, held_bytes: int, used_before: int, within_seconds: float = 5.0,
    clock: Clock = time.monotonic, sleep: Sleep = time.sleep,
) -> Return:  # fmt: skip
    """Wait, after an unload, until what `model` held has left the device.

    held_bytes: what its load had taken. used_before: `used_bytes` just before the unload.
    Drivers and allocators give back late, so this polls for `within_seconds` before it speaks of a leak; ever less often,
    since each time all garbage is collected.
    """
    begun, pause = clock(), _POLL_SECONDS
    while True:
        device.reclaim()
        kept = max(0, device.used_bytes() - (used_before - held_bytes))
        found = Return(model, held_bytes, min(kept, held_bytes), clock() - begun)
        if found.clean or found.seconds >= within_seconds:
            return found
        sleep(pause)
        pause *= 1.5


@dataclass(frozen=True, slots=True)
class LeakBook:
    """Variants that were seen to leak, remembered per user and library versions, so that next time they are isolated.

    A damaged or unreadable book is an empty one: the post-condition will notice again.
    """

    path: Path
    versions: str

    def leaking(self) -> frozenset[str]:
        """Variants that leaked under these versions."""
        return frozenset(name for name, versions in self._read().items() if versions == self.versions)

    def note(self, found: Return) -> None:
        """Write down a leak; clean returns are not."""
        if found.clean:
            return
        known = {**self._read(), found.model: self.versions}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self.path, json.dumps(known, indent=1, sort_keys=True))

    def _read(self) -> dict[str, str]:
        try:
            body = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return {str(name): str(versions) for name, versions in body.items()} if isinstance(body, dict) else {}


def _gib(count: int) -> str:
    return f"{count / GIB:.1f} GiB"
