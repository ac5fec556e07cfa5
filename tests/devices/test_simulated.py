"""The ledger: what is held, what a step adds, and refusal as a card would refuse."""

import pytest

from pipelines.devices.protocol import DeviceOutOfMemory, Process
from pipelines.devices.simulated import SimulatedDevice


def test_a_ledger_counts_context_holdings_and_the_step() -> None:
    device = SimulatedDevice(total_bytes=1000, context=100)
    with device.watch(300) as load:
        pass
    device.loaded("demucs", 200)
    with device.watch(500) as run:
        pass
    device.unloaded("demucs")
    assert (load.start_bytes, load.peak_bytes, load.end_bytes) == (100, 400, 100)
    assert (run.start_bytes, run.peak_bytes, run.end_bytes) == (300, 800, 300)
    assert (device.used_bytes(), device.free_bytes()) == (100, 900)
    assert run.source == "declared"


def test_overlapping_steps_count_together() -> None:
    device = SimulatedDevice(total_bytes=1000)
    with device.watch(300) as run:
        with device.watch(200) as prefetch:
            pass
        device.loaded("next", 150)
    assert (run.peak_bytes, prefetch.peak_bytes) == (500, 500)


def test_what_has_no_room_is_refused_and_nothing_stays_behind() -> None:
    device = SimulatedDevice(total_bytes=1000)
    with pytest.raises(DeviceOutOfMemory, match="out of memory"), device.watch(1001):
        pytest.fail("the step must not start")
    with device.watch(1000):
        pass


def test_a_cap_and_other_processes_take_room() -> None:
    device = SimulatedDevice(total_bytes=1000)
    device.cap(600)
    with pytest.raises(DeviceOutOfMemory), device.watch(601):
        pass
    device.cap(None)
    device.foreign = (Process(1, "a", 300), Process(2, "b", 350))
    assert [process.pid for process in device.others()] == [2, 1]
    assert device.free_bytes() == 350
    with pytest.raises(DeviceOutOfMemory), device.watch(351):
        pass
