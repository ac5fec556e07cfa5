"""The ledger: what is held, what a step adds, and refusal as a card would refuse."""

import weakref

import pytest

from pipelines.devices.protocol import DeviceOutOfMemory, Process
from pipelines.devices.simulated import SimulatedDevice
from pipelines.schema.errors import UsageError
from pipelines.schema.units import MIB


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


def test_a_card_is_of_the_wanted_size_and_name_and_no_size_is_refused() -> None:
    card = SimulatedDevice.open(0, 500, None)
    assert (card.total_bytes, card.name, card.title, card.torch_device) == (
        500, "simulated card", "simulated card", "cpu",
    )  # fmt: skip
    assert SimulatedDevice.open(0, 500, "H200").name == "H200"
    for nothing in (None, 0):
        with pytest.raises(UsageError, match="needs a size"):
            SimulatedDevice.open(0, nothing, None)


def test_an_assumed_context_counts_in_every_figure() -> None:
    device = SimulatedDevice(total_bytes=1000)
    device.assume_context(300)
    assert (device.context_bytes(), device.used_bytes(), device.free_bytes()) == (300, 300, 700)
    with pytest.raises(DeviceOutOfMemory), device.watch(701):
        pass
    with device.watch(700) as reading:
        pass
    assert reading.peak_bytes == 1000


def test_room_is_the_smaller_of_the_cap_and_what_others_leave_and_never_below_nothing() -> None:
    device = SimulatedDevice(total_bytes=1000, foreign=(Process(1, "a", 300),), context=100)
    device.cap(800)
    assert device.free_bytes() == 600
    device.cap(400)
    assert device.free_bytes() == 300
    device.total_bytes = 350
    assert device.free_bytes() == 0


def test_the_refusal_says_what_was_wanted_and_what_there_is() -> None:
    device = SimulatedDevice(total_bytes=64 * MIB, name="H200", foreign=(Process(1, "a", 14 * MIB),))
    with pytest.raises(DeviceOutOfMemory, match=r"H200 is out of memory: 60 MiB wanted, 50 MiB of 64 MiB are ours"):
        device.loaded("demucs", 60 * MIB)


def test_a_load_counts_instead_of_what_it_was_to_take_and_replaces_what_the_key_held() -> None:
    device = SimulatedDevice(total_bytes=1000, track=False)
    device.loaded("demucs", 300, object())
    device.loaded("demucs", 200)
    device.loaded("crepe", 50)
    assert device.used_bytes() == 250
    device.unloaded("unknown")
    device.unloaded("demucs")
    assert device.used_bytes() == 50


def test_what_a_step_was_declared_to_take_stands_beside_its_reading() -> None:
    device = SimulatedDevice(total_bytes=1000, context=100, track=False)
    with device.watch(300) as reading:
        device.loaded("left", 50)
    assert reading.beside == {"declared": 450, "tracked_live": 0}
    assert (reading.start_bytes, reading.peak_bytes, reading.end_bytes) == (100, 450, 150)


def test_a_step_that_fails_ends_its_watch_and_has_a_reading() -> None:
    device = SimulatedDevice(total_bytes=1000, track=False)
    with pytest.raises(ValueError, match="x"), device.watch(400) as reading:
        raise ValueError("x")
    assert reading.peak_bytes == 400
    with device.watch(1000):
        pass


def test_a_garbage_cycle_is_collected() -> None:
    class Ring:
        def __init__(self) -> None:
            self.itself = self

    gone = weakref.ref(Ring())
    SimulatedDevice(total_bytes=1).reclaim()
    assert gone() is None


def test_what_was_measured_on_one_simulated_card_holds_on_every_other() -> None:
    assert SimulatedDevice(1, name="a").footprint_key == SimulatedDevice(2, name="b").footprint_key == "simulated"
