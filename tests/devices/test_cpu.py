"""The kernel's own marks: short peaks are seen, overlapping watches do not blind each other."""

import mmap
import threading

import pytest

from pipelines.devices.cpu import CpuDevice
from pipelines.devices.linux import LinuxMemory
from pipelines.devices.registry import open_device
from pipelines.schema.units import GIB, MIB


def touch(mebibytes: int) -> None:
    """Pages of their own: an allocator might hand out what other tests had freed."""
    with mmap.mmap(-1, mebibytes * MIB) as block:
        for page in range(0, len(block), mmap.PAGESIZE):
            block[page] = 1


def test_a_peak_shorter_than_any_sampling_is_seen() -> None:
    device = CpuDevice()
    with device.watch() as reading:
        touch(64)
    assert reading.source == "kernel"
    assert 60 * MIB <= reading.peak_bytes - reading.start_bytes <= 80 * MIB
    assert reading.end_bytes - reading.start_bytes < 16 * MIB


def test_a_later_step_does_not_inherit_an_earlier_peak() -> None:
    device = CpuDevice()
    with device.watch():
        touch(96)
    with device.watch() as second:
        pass
    assert second.peak_bytes - second.start_bytes < 16 * MIB


def test_a_watch_that_opens_inside_another_does_not_blind_it() -> None:
    device = CpuDevice()
    with device.watch() as outer:
        touch(96)
        with device.watch() as inner:
            touch(32)
    assert outer.peak_bytes - outer.start_bytes >= 92 * MIB
    assert 28 * MIB <= inner.peak_bytes - inner.start_bytes < 60 * MIB


def test_watches_of_two_threads_both_see_the_sum() -> None:
    device = CpuDevice()
    both = threading.Barrier(2)
    readings = []

    def work() -> None:
        with device.watch() as reading:
            both.wait()
            block = bytearray(48 * MIB)
            both.wait()
            del block
        readings.append(reading)

    start = device.used_bytes()
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(reading.peak_bytes - start >= 90 * MIB for reading in readings)


def test_without_a_resettable_mark_the_reading_says_sampled() -> None:
    looks: list[int] = []

    class Hardened(LinuxMemory):
        def reset_peak(self, pid: int) -> bool:
            return False

        def resident_bytes(self, pid: int) -> int:
            looks.append(pid)
            return LinuxMemory.resident_bytes(self, pid)

    device = CpuDevice(system=Hardened(), sample_seconds=0.001)
    with device.watch() as reading:
        block = bytearray(64 * MIB)
        before = len(looks)
        while len(looks) < before + 2:  # the first may have been on its way
            threading.Event().wait(0.001)
        del block
    assert reading.source == "sampled"
    assert reading.peak_bytes - reading.start_bytes >= 60 * MIB


def test_a_smaller_total_is_kept_and_a_larger_one_is_refused() -> None:
    assert open_device("cpu", total=GIB).total_bytes == GIB
    with pytest.raises(Exception, match="more than CPU has"):
        open_device("cpu", total=2**52)


def test_a_dead_worker_is_forgotten() -> None:
    device = CpuDevice()
    device.adopt(2**22 - 3)
    assert device.used_bytes() > 0
    assert device._workers == set()


def test_a_worker_may_be_adopted_while_another_thread_looks() -> None:
    class Adopting(LinuxMemory):
        def resident_bytes(self, pid: int) -> int:
            if len(device._workers) < 3:
                device.adopt(pid + 1)
            return 100

    device = CpuDevice(system=Adopting(), pid=1)
    device.adopt(2)
    assert device.used_bytes() >= 200
    assert device._workers == {2, 3, 4}
