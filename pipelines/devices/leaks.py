"""Whether an unload gave its bytes back, by one rule for every device, and which variants did not.

A model leaks when, some seconds after its unload, more than a quarter of what its load had taken is still held, and that
is more than 32 MiB. Until then an allocator or a driver may only be slow, or hold a block for the next model.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipelines.devices.protocol import Device
from pipelines.files import write_atomic
from pipelines.schema.units import MIB

#: The part of what a model held that must come back.
RETURN_SHARE = 0.75
#: Bytes below which nothing is called a leak, whatever its share: one arena of an allocator.
RETURN_NOISE = 32 * MIB
_FIRST_PAUSE, _LONGER = 0.05, 1.5


@dataclass(frozen=True, slots=True)
class Return:
    """What an unload gave back. held_bytes: what the model's load had taken. unreturned_bytes: what of it was not returned
    after `seconds`."""

    model: str
    held_bytes: int
    unreturned_bytes: int
    seconds: float

    @property
    def clean(self) -> bool:
        """Whether enough came back to go on as planned."""
        return self.unreturned_bytes <= max(RETURN_NOISE, (1 - RETURN_SHARE) * self.held_bytes)

    @property
    def sentence(self) -> str:
        """For the record and the screen."""
        held, unreturned = f"{self.held_bytes / MIB:,.0f} MiB", f"{self.unreturned_bytes / MIB:,.0f} MiB"
        if self.clean:
            return f"{self.model} gave its {held} back."
        return (
            f"{self.model} keeps {unreturned} of {held} {self.seconds:.1f} s after its unload: it leaks. "
            "It will run in a process of its own next time."
        )


def await_return(
    device: Device, model: str, held_bytes: int, used_before: int, within_seconds: float,
    clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
) -> Return:  # fmt: skip
    """Reclaim what an unload has freed, and look until enough of it has left the device, for at most `within_seconds`.

    held_bytes: what the model's load had taken. used_before: `used_bytes` just before the unload. The first look comes at
    once; the pauses between the following ones grow, since every look collects all garbage.
    """
    begun, pause = clock(), _FIRST_PAUSE
    while True:
        device.reclaim()
        unreturned = max(0, device.used_bytes() - (used_before - held_bytes))
        found = Return(model, held_bytes, min(unreturned, held_bytes), clock() - begun)
        if found.clean or found.seconds >= within_seconds:
            return found
        sleep(pause)
        pause *= _LONGER


@dataclass(frozen=True, slots=True)
class KnownLeaks:
    """Variants that were seen to leak, remembered per user and library versions, so that next time they are isolated.

    path: a JSON file of variant -> versions. A damaged or unreadable one counts as empty: leaks will be noticed again.
    """

    path: Path
    versions: str

    def variants(self) -> frozenset[str]:
        """Variants that leaked under these versions."""
        return frozenset(name for name, versions in self._read().items() if versions == self.versions)

    def add(self, found: Return) -> None:
        """Remember a leak; a clean return is passed over."""
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
