"""Samples and alerts, on devices made of numbers."""

import threading
import time
from collections.abc import Callable
from typing import Any

from pipelines.devices.cpu import CpuDevice
from pipelines.devices.cuda import CudaDevice
from pipelines.devices.protocol import Health
from pipelines.devices.simulated import SimulatedDevice
from pipelines.run.monitor import Alerts, Monitor
from tests.devices.fakes import MB, OURS, FakeCard


class Recorder:
    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, kind: str, **data: Any) -> None:
        self.events.append((kind, data))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [data for detected, data in self.events if detected == kind]


def test_a_card_is_sampled_with_all_it_says() -> None:
    card, detected = FakeCard(), Recorder()
    card.start(0)
    Monitor(CudaDevice(card, card, pid=OURS), detected).sample()
    assert detected.of("sample") == [
        {"used_bytes": 400 * MB, "free_bytes": 7600 * MB, "utilisation": 0.5, "temperature": 60.0, "power_watts": 100.0}
    ]


def test_the_cpu_is_sampled_by_rss_and_load() -> None:
    detected = Recorder()
    Monitor(CpuDevice(), detected).sample()
    (sample,) = detected.of("sample")
    assert sample["used_bytes"] > 10 * MB
    assert sample["cpu_percent"] >= 0


def test_alerts_begin_once_and_again_after_calm() -> None:
    alerts = Alerts(limit_bytes=1000)
    shares = (500, 905, 950, 890, 910, 800, 920)
    assert [bool(alerts.of({"used_bytes": used})) for used in shares] == [
        False, True, False, False, False, False, True,
    ]  # fmt: skip


def test_each_cause_has_its_own_alert() -> None:
    fields = {"used_bytes": 1, "temperature": 90.0, "throttled": True}
    assert [what for what, _ in Alerts(None).of(fields)] == ["temperature", "throttling"]


class Slow(SimulatedDevice):
    """A device that is slow to answer, on a clock of its own."""

    now = 0.0

    def used_bytes(self) -> int:
        Slow.now += 0.004
        return 0


def test_a_slow_look_is_taken_more_rarely() -> None:
    detected = Recorder()
    monitor = Monitor(Slow(total_bytes=10), detected, clock=lambda: Slow.now)
    took = monitor.sample()
    assert took >= 0.004
    pauses: list[float] = []

    class Waiting(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout or 0)
            return len(pauses) > 2

    monitor._done = Waiting()
    monitor._loop()
    assert all(took / pause < 0.01 for pause in pauses[1:])


def _until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "the monitor takes no samples"
        time.sleep(0.001)


def test_it_runs_beside_the_work_and_ends_with_it() -> None:
    detected = Recorder()
    device = SimulatedDevice(total_bytes=1000, track=False)
    with Monitor(device, detected, every=0.001, clock=lambda: 0.0) as monitor:
        _until(lambda: len(detected.events) >= 2)
    assert monitor._thread is not None
    assert not monitor._thread.is_alive()


def test_a_monitor_that_cannot_tell_stops_quietly() -> None:
    """Nothing can be written on a full disk, not even that; what the thread raised would be printed over the run's screen."""

    def full(kind: str, **data: Any) -> None:
        raise OSError("No space left on device")

    monitor = Monitor(SimulatedDevice(total_bytes=1000, track=False), full, every=0.0)
    monitor._loop()


class Broken(FakeCard):
    def health(self, index: int) -> Health:
        raise RuntimeError("GPU is lost")


def test_a_driver_that_stumbles_does_not_end_the_run() -> None:
    card, detected = Broken(), Recorder()
    with Monitor(CudaDevice(card, card, pid=OURS), detected, every=0.001):
        _until(lambda: detected.of("alert"))
    assert detected.of("alert") == [{"what": "monitor", "text": "Monitoring stopped: GPU is lost"}]
