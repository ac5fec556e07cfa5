"""What comes back after an unload, on a simulated device and a clock that moves when it is asked to."""

from pathlib import Path

import pytest

from pipelines.devices.leaks import KnownLeaks, Return, await_return
from pipelines.devices.simulated import SimulatedDevice
from pipelines.schema.units import GIB, MIB
from tests.run.clock import FakeClock


def unload(device: SimulatedDevice, gives_back: float, after: float, clock: FakeClock) -> Return:
    device.loaded("demucs", GIB)
    before = device.used_bytes()

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if clock.now >= after:
            device.loaded("demucs", round(GIB * (1 - gives_back)))

    return await_return(device, "demucs", GIB, before, within_seconds=5, clock=clock, sleep=sleep)


def test_bytes_that_come_back_late_are_no_leak() -> None:
    clock = FakeClock()
    found = unload(SimulatedDevice(8 * GIB, track=False), 1.0, 2.0, clock)
    assert found.clean
    assert 2 <= found.seconds < 3


@pytest.mark.parametrize(("share", "clean"), [(0.9, True), (0.76, True), (0.7, False), (0.0, False)])
def test_a_leak_is_what_does_not_come_back_in_time(share: float, clean: bool) -> None:
    clock = FakeClock()
    found = unload(SimulatedDevice(8 * GIB, track=False), share, 1.0, clock)
    assert found.clean is clean
    assert found.unreturned_bytes == pytest.approx(GIB * (1 - share), abs=2)
    if not clean:
        assert found.seconds >= 5
        assert "demucs keeps" in found.sentence


def test_a_few_bytes_of_a_small_model_are_noise() -> None:
    assert Return("tiny", 2 * MIB, 2 * MIB, 5).clean


def test_leaks_are_remembered_for_the_same_versions_only(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "leaks.json"
    KnownLeaks(path, "torch 1").add(Return("whisper", GIB, GIB, 5))
    KnownLeaks(path, "torch 1").add(Return("demucs", GIB, 0, 1))
    assert KnownLeaks(path, "torch 1").variants() == {"whisper"}
    assert KnownLeaks(path, "torch 2").variants() == frozenset()
    path.write_text("{not json")
    assert KnownLeaks(path, "torch 1").variants() == frozenset()


def test_what_others_took_meanwhile_is_not_more_than_the_model_held() -> None:
    device = SimulatedDevice(8 * GIB, track=False)
    device.loaded("demucs", GIB)
    before = device.used_bytes()
    device.loaded("other", 3 * GIB)
    clock = FakeClock()
    found = await_return(device, "demucs", GIB, before, within_seconds=1, clock=clock, sleep=clock.sleep)
    assert found.unreturned_bytes == GIB
    assert found.sentence.startswith("demucs keeps 1,024 MiB of 1,024 MiB 1.")


def test_the_first_look_comes_at_once_and_is_enough_for_a_clean_return() -> None:
    device = SimulatedDevice(8 * GIB, track=False)
    device.loaded("demucs", GIB)
    before = device.used_bytes()
    device.unloaded("demucs")
    clock = FakeClock()
    found = await_return(device, "demucs", GIB, before, within_seconds=5, clock=clock, sleep=clock.sleep)
    assert (found.unreturned_bytes, found.seconds, clock.now) == (0, 0, 0)
    assert found.sentence == "demucs gave its 1,024 MiB back."


@pytest.mark.parametrize(
    ("held", "kept", "clean"), [(40, 32, True), (40, 33, False), (400, 100, True), (400, 101, False)]
)
def test_a_leak_is_both_a_quarter_and_more_than_noise(held: int, kept: int, clean: bool) -> None:
    assert Return("m", held * MIB, kept * MIB, 5).clean is clean


def test_looks_become_rarer_and_each_of_them_reclaims() -> None:
    class Slow(SimulatedDevice):
        """Gives its bytes back with the fourth look."""

        looks = 0

        def reclaim(self) -> None:
            self.looks += 1
            if self.looks == 4:
                super().unloaded("demucs")

    device, clock, pauses = Slow(8 * GIB, track=False), FakeClock(), list[float]()
    clock.sleep(100)
    device.loaded("demucs", GIB)
    before = device.used_bytes()

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        clock.sleep(seconds)

    found = await_return(device, "demucs", GIB, before, within_seconds=5, clock=clock, sleep=sleep)
    assert found.clean
    assert pauses == pytest.approx([0.05, 0.075, 0.1125])
    assert found.seconds == pytest.approx(sum(pauses))


def test_without_time_to_wait_there_is_one_look() -> None:
    device, clock = SimulatedDevice(8 * GIB, track=False), FakeClock()
    device.loaded("demucs", GIB)
    found = await_return(device, "demucs", GIB, device.used_bytes(), within_seconds=0, clock=clock, sleep=clock.sleep)
    assert (found.clean, found.unreturned_bytes, clock.now) == (False, GIB, 0)


def test_what_stays_on_the_device_beside_the_model_is_not_kept_by_it() -> None:
    device, clock = SimulatedDevice(8 * GIB, context=GIB, track=False), FakeClock()
    device.loaded("other", 2 * GIB)
    device.loaded("demucs", GIB)
    before = device.used_bytes()
    device.unloaded("demucs")
    found = await_return(device, "demucs", GIB, before, within_seconds=5, clock=clock, sleep=clock.sleep)
    assert (found.unreturned_bytes, found.clean) == (0, True)


def test_a_file_of_leaks_that_is_no_table_counts_as_empty(tmp_path: Path) -> None:
    path = tmp_path / "leaks.json"
    path.write_text("[1]")
    assert KnownLeaks(path, "torch 1").variants() == frozenset()
    KnownLeaks(path, "torch 1").add(Return("whisper", GIB, GIB, 5))
    KnownLeaks(path, "torch 1").add(Return("xtts", GIB, GIB, 5))
    assert KnownLeaks(path, "torch 1").variants() == {"whisper", "xtts"}
