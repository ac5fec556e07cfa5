"""Room, cap and return, on simulated devices and a clock that moves when told."""

from pathlib import Path

import pytest

from pipelines.devices.enforce import LeakBook, Return, bytes_returned, capped, room_for
from pipelines.devices.protocol import DeviceOutOfMemory, Process
from pipelines.devices.simulated import SimulatedDevice
from pipelines.schema.units import GIB, MIB
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


def unload(device: SimulatedDevice, gives_back: float, after: float, clock: FakeClock) -> Return:
    device.loaded("demucs", GIB)
    before = device.used_bytes()

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if clock.now >= after:
            device.loaded("demucs", round(GIB * (1 - gives_back)))

    return bytes_returned(device, "demucs", GIB, before, within_seconds=5, clock=clock, sleep=sleep)


def test_bytes_that_come_back_late_are_no_leak() -> None:
    clock = FakeClock()
    found = unload(card(), 1.0, 2.0, clock)
    assert found.clean
    assert 2 <= found.seconds < 3


@pytest.mark.parametrize(("share", "clean"), [(0.9, True), (0.76, True), (0.7, False), (0.0, False)])
def test_a_leak_is_what_does_not_come_back_in_time(share: float, clean: bool) -> None:
    clock = FakeClock()
    found = unload(card(), share, 1.0, clock)
    assert found.clean is clean
    assert found.kept_bytes == pytest.approx(GIB * (1 - share), abs=2)
    if not clean:
        assert found.seconds >= 5
        assert "demucs keeps" in found.sentence


def test_a_few_bytes_of_a_small_model_are_noise() -> None:
    assert Return("tiny", 2 * MIB, 2 * MIB, 5).clean


def test_leaks_are_remembered_for_the_same_versions_only(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "leaks.json"
    LeakBook(path, "torch 1").note(Return("whisper", GIB, GIB, 5))
    LeakBook(path, "torch 1").note(Return("demucs", GIB, 0, 1))
    assert LeakBook(path, "torch 1").leaking() == {"whisper"}
    assert LeakBook(path, "torch 2").leaking() == frozenset()
    path.write_text("{not json")
    assert LeakBook(path, "torch 1").leaking() == frozenset()
