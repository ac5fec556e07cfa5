"""The kernel's own marks: short peaks are seen, overlapping watches do not blind each other."""

import mmap
import threading
from pathlib import Path

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


def kernel_with(tmp_path: Path, cgroup: str, files: dict[str, str]) -> LinuxMemory:
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text(cgroup)
    (proc / "meminfo").write_text("MemTotal:       16777216 kB\nMemAvailable:    8388608 kB\n")
    for name, text in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return LinuxMemory(proc=proc, cgroups=tmp_path / "cgroup")


def test_version_2_control_groups_lower_the_size(tmp_path: Path) -> None:
    files = {"a/b/memory.max": "max\n", "a/memory.max": f"{3 * GIB}\n", "a/memory.current": f"{2 * GIB}\n"}
    files |= {"a/memory.stat": f"anon 5\ninactive_file {GIB}\n"}
    kernel = kernel_with(tmp_path, "0::/a/b\n", files)
    assert kernel.total_bytes() == 3 * GIB
    assert kernel.available_bytes() == 2 * GIB  # clean file pages are given back first


def test_version_1_control_groups_lower_the_size(tmp_path: Path) -> None:
    files = {"memory/x/memory.limit_in_bytes": f"{2 * GIB}\n", "memory/x/memory.usage_in_bytes": f"{GIB}\n"}
    kernel = kernel_with(tmp_path, "4:memory:/x\n0::/\n", files)
    assert (kernel.total_bytes(), kernel.available_bytes()) == (2 * GIB, GIB)


@pytest.mark.parametrize("limit", ["max", "9223372036854771712"])
def test_no_limit_leaves_the_machine(tmp_path: Path, limit: str) -> None:
    files = {"memory/x/memory.limit_in_bytes": limit, "x/memory.max": limit}
    kernel = kernel_with(tmp_path, "4:memory:/x\n0::/x\n", files)
    assert (kernel.total_bytes(), kernel.available_bytes()) == (16 * GIB, 8 * GIB)


def test_a_path_of_the_host_falls_back_to_the_mount(tmp_path: Path) -> None:
    kernel = kernel_with(tmp_path, "0::/docker/0123\n", {"memory.max": str(GIB), "memory.current": "0"})
    assert kernel.total_bytes() == GIB


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
