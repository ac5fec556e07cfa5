"""The kernel's own marks: short peaks are seen, overlapping watches do not blind each other."""

import mmap
import threading
import weakref
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from pipelines.devices.cpu import CpuDevice
from pipelines.devices.linux import LinuxMemory
from pipelines.devices.protocol import Process
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


@dataclass(frozen=True, slots=True)
class Kernel(LinuxMemory):
    """A kernel of numbers: what each process holds and has held, what the machine has, whether marks can be reset."""

    resident: dict[int, int] = field(default_factory=dict)
    peak: dict[int, int] = field(default_factory=dict)
    machine: dict[str, int] = field(default_factory=lambda: {"total": 1000, "available": 1000})
    resettable: bool = True

    def set(self, pid: int, size: int) -> None:
        self.resident[pid] = size
        self.peak[pid] = max(size, self.peak.get(pid, 0))

    def resident_bytes(self, pid: int) -> int:
        return self.resident.get(pid, 0)

    def peak_bytes(self, pid: int) -> int | None:
        return self.peak.get(pid)

    def reset_peak(self, pid: int) -> bool:
        if self.resettable:
            self.peak[pid] = self.resident.get(pid, 0)
        return self.resettable

    def total_bytes(self) -> int:
        return self.machine["total"]

    def available_bytes(self) -> int:
        return self.machine["available"]


def test_a_worker_counts_with_this_process_in_what_is_used_and_in_a_steps_peak() -> None:
    system = Kernel()
    device = CpuDevice(system=system, pid=1)
    system.set(1, 100)
    system.set(2, 40)
    assert device.used_bytes() == device.context_bytes() == 100
    device.adopt(2)
    assert device.used_bytes() == 140
    with device.watch() as reading:
        system.set(2, 90)
        system.set(2, 50)
        system.set(1, 110)
    assert (reading.start_bytes, reading.peak_bytes, reading.end_bytes) == (140, 110 + 90, 160)
    assert reading.source == "kernel"


def test_a_process_without_a_mark_counts_with_what_it_holds() -> None:
    system = Kernel(resident={1: 100})

    class Young(Kernel):
        def peak_bytes(self, pid: int) -> int | None:
            return None

    device = CpuDevice(system=Young(resident=system.resident), pid=1)
    with device.watch() as outer:
        system.resident[1] = 300
        with device.watch():
            pass
        system.resident[1] = 120
    assert outer.peak_bytes == 300


def test_marks_of_which_one_cannot_be_reset_are_not_believed() -> None:
    system = Kernel(resident={1: 100}, peak={1: 900}, resettable=False)
    device = CpuDevice(system=system, pid=1, sample_seconds=60)
    with device.watch() as reading:
        system.set(1, 120)
    assert (reading.peak_bytes, reading.source) == (120, "sampled")


@pytest.mark.parametrize(
    ("total", "available", "free"), [(0, 900, 900), (0, 300, 300), (600, 900, 500), (600, 200, 200), (50, 900, 0)]
)
def test_free_is_what_the_machine_can_give_at_most_what_is_left_of_the_size(
    total: int, available: int, free: int
) -> None:
    system = Kernel(resident={1: 100}, machine={"total": 1000, "available": available})
    device = CpuDevice(total_bytes=total, system=system, pid=1)
    assert device.total_bytes == (total or 1000)
    assert device.free_bytes() == free


def test_a_size_above_the_machines_is_the_machines() -> None:
    assert CpuDevice(total_bytes=5000, system=Kernel()).total_bytes == 1000


def test_the_largest_eight_of_other_processes_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {pid: pid * 64 * MIB for pid in range(1, 13)} | {50: 64 * MIB - 1, 51: 64 * MIB}

    def process(pid: int, size: int | None, name: str | None) -> SimpleNamespace:
        memory = None if size is None else SimpleNamespace(rss=size)
        return SimpleNamespace(info={"pid": pid, "name": name, "memory_info": memory})

    running = [process(pid, size, f"p{pid}") for pid, size in sizes.items()] + [process(60, None, "hidden")]
    running += [process(61, 700 * MIB, None)]
    children = SimpleNamespace(children=lambda recursive: [SimpleNamespace(pid=11)] if recursive else [])
    monkeypatch.setattr("psutil.process_iter", lambda fields: running)
    monkeypatch.setattr("psutil.Process", lambda pid: children)
    device = CpuDevice(system=Kernel(resident={12: 1}), pid=10)
    device.adopt(12)
    found = device.others()
    assert [each.pid for each in found] == [61, 9, 8, 7, 6, 5, 4, 3]
    assert found[0] == Process(61, "?", 700 * MIB)
    assert found[1] == Process(9, "p9", 9 * 64 * MIB)
    del running[2:11], running[-1]
    assert [each.pid for each in device.others()] == [2, 1, 51]


def test_what_it_is_called() -> None:
    device = CpuDevice(system=Kernel())
    assert (device.name, device.title, device.spec, device.torch_device) == ("CPU", "This machine", "cpu", "cpu")
    assert open_device("cpu", name="my laptop").name == "my laptop"
    assert open_device("cpu").name == "CPU"


def test_a_cap_is_remembered_and_lifted() -> None:
    device = CpuDevice(system=Kernel())
    device.cap(300)
    assert device.limit_bytes == 300
    device.cap(None)
    assert device.limit_bytes is None


def test_a_cycle_of_garbage_is_given_back() -> None:
    class Ring:
        def __init__(self) -> None:
            self.itself = self

    gone = weakref.ref(Ring())
    CpuDevice().reclaim()
    assert gone() is None


def test_a_device_without_an_allocator_of_its_own_reserves_what_it_uses() -> None:
    system = Kernel(resident={1: 100})
    assert CpuDevice(system=system, pid=1).framework_bytes() == (100, 100)
