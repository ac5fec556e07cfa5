"""Samples a run while it goes on: bytes, utilisation, temperature, power or CPU, and alerts, given to a callback.

It measures and never acts. How often adapts to what a sample costs, so that it stays under 1 % of the run's time.
Processing speed (x real time) is known when a task ends, and is in that event.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pipelines.devices.protocol import Device, Health
from pipelines.schema.units import format_bytes

#: `emit(kind, **data)` as the engine's: kinds `sample` and `alert` of `schema.record.KINDS`.
Emit = Callable[..., None]
#: Celsius above which cards and laptops begin to slow themselves down.
HOT = 85.0
NEAR = 0.9
#: An alert is repeated only after its cause has been away and the figure has fallen this far below its threshold.
_CALM = 0.95
_OVERHEAD = 0.005


@dataclass
class Monitor:
    """`with Monitor(device, emit, limit_bytes):` samples every `every` seconds, less often where a sample is slow."""

    device: Device
    emit: Emit
    limit_bytes: int | None = None
    every: float = 0.5
    clock: Callable[[], float] = time.perf_counter
    _alerts: Alerts = field(init=False)
    _done: threading.Event = field(default_factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)
    #: Seconds spent on samples so far.
    spent_seconds: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._alerts = Alerts(self.limit_bytes)
        self._cpu = _cpu_meter() if self.device.computes_on_host else None

    def __enter__(self) -> Monitor:
        self._thread = threading.Thread(target=self._loop, name="monitor", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join()

    def sample(self) -> float:
        """Take one sample now. Seconds it took."""
        begun = self.clock()
        fields = self._fields()
        self.emit("sample", **fields)
        for what, text in self._alerts.of(fields):
            self.emit("alert", what=what, text=text)
        took = self.clock() - begun
        self.spent_seconds += took
        return took

    def _loop(self) -> None:
        pause = self.every
        while not self._done.wait(pause):
            try:
                pause = max(self.every, self.sample() / _OVERHEAD)
            except Exception as error:  # a driver that stumbles must not end the run
                with suppress(Exception):  # a full disk: the run itself meets it too, and reports it
                    self.emit("alert", what="monitor", text=f"Monitoring stopped: {error}")
                return

    def _fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"used_bytes": self.device.used_bytes(), "free_bytes": self.device.free_bytes()}
        health = self.device.health()
        if health is not None:
            fields |= _health_fields(health)
        if self._cpu is not None:
            fields["cpu_percent"] = self._cpu()
        return fields


@dataclass
class Alerts:
    """Thresholds that remember: an alert is given once, and again only after its figure had fallen well below."""

    limit_bytes: int | None
    _raised: set[str] = field(default_factory=set)

    def of(self, fields: Mapping[str, Any]) -> list[tuple[str, str]]:
        """(what, sentence) of each alert that begins with this sample."""
        found = []
        used, hot = fields["used_bytes"], fields.get("temperature")
        if self.limit_bytes and self._begins("limit", used / self.limit_bytes, NEAR):
            share = f"{100 * used / self.limit_bytes:.0f} %"
            limit = format_bytes(self.limit_bytes)
            found.append(("limit", f"{format_bytes(used)} in use, {share} of the limit of {limit}."))
        if hot is not None and self._begins("temperature", hot, HOT):
            found.append(("temperature", f"The device is at {hot:.0f} degrees Celsius."))
        if self._begins("throttling", float(bool(fields.get("throttled"))), 1.0):
            found.append(("throttling", "The device slows itself down; times of this run are longer than usual."))
        return found

    def _begins(self, what: str, value: float, threshold: float) -> bool:
        if value >= threshold and what not in self._raised:
            self._raised.add(what)
            return True
        if value < threshold * _CALM:
            self._raised.discard(what)
        return False


def _health_fields(health: Health) -> dict[str, Any]:
    fields = {
        "utilisation": health.utilisation,
        "temperature": health.temperature,
        "power_watts": health.power,
        "throttled": health.throttled or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _cpu_meter() -> Callable[[], float]:
    """Per cent of one core that this process uses, since the last call."""
    import psutil

    process = psutil.Process()
    process.cpu_percent()
    return lambda: float(process.cpu_percent())
