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
from pipelines.schema.units import MIB
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


def test_alerts_say_how_near_how_hot_and_that_it_is_slow() -> None:
    alerts = Alerts(limit_bytes=1000 * MIB)
    fields = {"used_bytes": 900 * MIB, "temperature": 85.0, "throttled": True}
    assert alerts.of(fields) == [
        ("limit", "900 MiB in use, 90 % of the limit of 1,000 MiB."),
        ("temperature", "The device is at 85 degrees Celsius."),
        ("throttling", "The device slows itself down; times of this run are longer than usual."),
    ]
    assert alerts.of(fields) == []


def test_below_their_thresholds_there_is_no_alert() -> None:
    assert Alerts(1000).of({"used_bytes": 899, "temperature": 84.9, "throttled": None}) == []
    assert Alerts(None).of({"used_bytes": 10**12}) == []
    assert Alerts(0).of({"used_bytes": 10**12}) == []


def test_an_alert_comes_again_only_after_its_figure_has_been_well_below() -> None:
    alerts = Alerts(None)
    degrees = (85, 81, 85, 80.7, 85)
    assert [bool(alerts.of({"used_bytes": 1, "temperature": hot})) for hot in degrees] == [
        True, False, False, False, True,
    ]  # fmt: skip
    slow = (True, False, True)
    assert [bool(alerts.of({"used_bytes": 1, "throttled": each})) for each in slow] == [True, False, True]


def test_what_a_card_does_not_say_is_no_field_and_nothing_that_is_zero_is_left_out() -> None:
    class Quiet(FakeCard):
        def health(self, index: int) -> Health:
            return Health(0.0, None, None, throttled=True)

    card, reported = Quiet(), Recorder()
    Monitor(CudaDevice(card, card, pid=OURS), reported).sample()
    assert reported.of("sample") == [{"used_bytes": 0, "free_bytes": 8000 * MB, "utilisation": 0.0, "throttled": True}]
    assert [alert["what"] for alert in reported.of("alert")] == ["throttling"]


def test_samples_are_counted_in_the_seconds_they_take_and_alerts_follow_them() -> None:
    reported = Recorder()
    monitor = Monitor(Slow(total_bytes=10), reported, limit_bytes=1, clock=lambda: Slow.now)
    first, second = monitor.sample(), monitor.sample()
    assert monitor.spent_seconds == first + second
    assert first > 0
    assert [kind for kind, _ in reported.events] == ["sample", "sample"]  # nothing is used of the limit


def test_what_computes_on_the_host_says_how_much_of_the_processor_it_takes() -> None:
    reported = Recorder()
    Monitor(SimulatedDevice(total_bytes=10, track=False), reported).sample()
    assert "cpu_percent" in reported.of("sample")[0]
    card, others = FakeCard(), Recorder()
    Monitor(CudaDevice(card, card, pid=OURS), others).sample()
    assert "cpu_percent" not in others.of("sample")[0]


def test_it_samples_as_often_as_it_is_told_where_a_sample_costs_little() -> None:
    pauses: list[float] = []

    class Waiting(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout or 0)
            return len(pauses) > 2

    monitor = Monitor(SimulatedDevice(total_bytes=10, track=False), Recorder(), every=7.0, clock=lambda: 0.0)
    monitor._done = Waiting()
    monitor._loop()
    assert pauses == [7.0] * 3
    Slow.now, slow = 0.0, Monitor(Slow(total_bytes=10), Recorder(), every=0.1, clock=lambda: Slow.now)
    pauses.clear()
    slow._done = Waiting()
    slow._loop()
    assert pauses[1] * 0.005 >= 0.004  # half a per cent of the time
