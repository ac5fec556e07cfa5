"""Room and cap, on simulated devices and a clock that moves when told."""

import pytest

from pipelines.devices.cpu import CpuDevice
from pipelines.devices.limits import capped, room_for, worker_limit
from pipelines.devices.protocol import DeviceOutOfMemory, Process
from pipelines.devices.simulated import SimulatedDevice
from pipelines.schema.units import GIB
from tests.run.clock import FakeClock


def card(**more: object) -> SimulatedDevice:
    return SimulatedDevice(total_bytes=8 * GIB, name="GPU 0", track=False, **more)  # type: ignore[arg-type]


def test_other_processes_are_named_in_the_sentence() -> None:
    others = (Process(7, "Xorg", GIB // 5), Process(4242, "python", 27 * GIB // 10))
    room = room_for(card(foreign=others, context=GIB // 10), 6 * GIB)
    assert not room.enough
    assert room.sentence.startswith(
        "GPU 0 has 5.0 GiB free: 2.9 GiB used by others, pid 4242 python 2.7 GiB, pid 7 Xorg 0.2 GiB; 6.0 GiB is wanted."
    )


def test_room_that_appears_while_waiting_is_taken() -> None:
    clock, device = FakeClock(), card(foreign=(Process(1, "ending", 4 * GIB),))

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if clock.now > 1:
            device.foreign = ()

    assert room_for(device, 6 * GIB, wait_seconds=3, clock=clock, sleep=sleep).enough
    assert 1 < clock.now < 1.2


def test_waiting_ends() -> None:
    clock, device = FakeClock(), card(foreign=(Process(1, "staying", 4 * GIB),))
    assert not room_for(device, 6 * GIB, wait_seconds=3, clock=clock, sleep=clock.sleep).enough
    assert clock.now == pytest.approx(3, abs=0.1)


def test_a_cap_is_in_force_in_the_block_and_lifted_after_it() -> None:
    device = card()
    with capped(device, GIB), pytest.raises(DeviceOutOfMemory), device.watch(2 * GIB):
        pass
    with device.watch(2 * GIB):
        pass


def test_a_worker_gets_what_is_left_of_the_cap_where_memory_is_ram() -> None:
    device = CpuDevice()
    assert worker_limit(device) is None
    with capped(device, device.used_bytes() + GIB):
        assert worker_limit(device) == pytest.approx(GIB, rel=0.05)
    with capped(device, 1):
        assert worker_limit(device) == 0
    other = card()
    with capped(other, GIB):
        assert worker_limit(other) is None


def test_enough_room_is_a_whole_sentence_and_nobody_is_waited_for() -> None:
    def sleep(seconds: float) -> None:
        raise AssertionError("nothing to wait for")

    others = (Process(7, "Xorg", GIB),)
    room = room_for(card(foreign=others), 7 * GIB, wait_seconds=3, clock=FakeClock(), sleep=sleep)
    assert room.enough
    assert room.sentence == "GPU 0 has 7.0 GiB free."
    assert not room_for(card(foreign=others), 8 * GIB, clock=FakeClock(), sleep=sleep).enough


def test_caches_are_given_back_before_room_is_called_short() -> None:
    class Caching(SimulatedDevice):
        def reclaim(self) -> None:
            self.context = 0

    assert room_for(Caching(total_bytes=8 * GIB, context=4 * GIB, track=False), 6 * GIB).enough


def test_the_three_largest_of_the_others_are_named() -> None:
    others = tuple(Process(pid, f"p{pid}", pid * GIB // 2) for pid in (1, 2, 3, 4))
    sentence = room_for(card(foreign=others), 6 * GIB).sentence
    assert "5.0 GiB used by others, pid 4 p4 2.0 GiB, pid 3 p3 1.5 GiB, pid 2 p2 1.0 GiB;" in sentence
