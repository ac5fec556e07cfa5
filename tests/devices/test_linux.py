"""Control groups and `/proc`, made of files in a folder."""

from pathlib import Path

import pytest

from pipelines.devices.linux import LinuxMemory
from pipelines.schema.units import GIB


def system_with(tmp_path: Path, cgroup: str, files: dict[str, str]) -> LinuxMemory:
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
    system = system_with(tmp_path, "0::/a/b\n", files)
    assert system.total_bytes() == 3 * GIB
    assert system.available_bytes() == 2 * GIB  # clean file pages are given back first


def test_version_1_control_groups_lower_the_size(tmp_path: Path) -> None:
    files = {"memory/x/memory.limit_in_bytes": f"{2 * GIB}\n", "memory/x/memory.usage_in_bytes": f"{GIB}\n"}
    system = system_with(tmp_path, "4:memory:/x\n0::/\n", files)
    assert (system.total_bytes(), system.available_bytes()) == (2 * GIB, GIB)


@pytest.mark.parametrize("limit", ["max", "9223372036854771712"])
def test_no_limit_leaves_the_machine(tmp_path: Path, limit: str) -> None:
    files = {"memory/x/memory.limit_in_bytes": limit, "x/memory.max": limit}
    system = system_with(tmp_path, "4:memory:/x\n0::/x\n", files)
    assert (system.total_bytes(), system.available_bytes()) == (16 * GIB, 8 * GIB)


def test_a_path_of_the_host_falls_back_to_the_mount(tmp_path: Path) -> None:
    system = system_with(tmp_path, "0::/docker/0123\n", {"memory.max": str(GIB), "memory.current": "0"})
    assert system.total_bytes() == GIB


def test_a_process_that_is_gone_holds_nothing(tmp_path: Path) -> None:
    system = system_with(tmp_path, "0::/\n", {})
    assert (system.resident_bytes(7), system.peak_bytes(7), system.data_bytes(7)) == (0, None, 0)
    assert not system.reset_peak(7)


def test_the_three_figures_of_a_process_are_its_own_lines(tmp_path: Path) -> None:
    system = system_with(tmp_path, "0::/\n", {})
    (tmp_path / "proc" / "7").mkdir()
    status = "Name:\tpython\nVmHWM:\t     900 kB\nVmRSS:\t     500 kB\nVmData:\t     700 kB\n"
    (tmp_path / "proc" / "7" / "status").write_text(status)
    found = system.resident_bytes(7), system.peak_bytes(7), system.data_bytes(7)
    assert found == (500 * 1024, 900 * 1024, 700 * 1024)


def test_the_highest_count_of_kills_of_any_group_counts(tmp_path: Path) -> None:
    files = {"a/memory.events": "oom 4\noom_kill 2\n", "memory.events": "oom_kill 5\n"}
    assert system_with(tmp_path, "0::/a\n", files).oom_kills() == 5
    assert system_with(tmp_path / "none", "0::/a\n", {}).oom_kills() == 0


def test_kernels_without_an_estimate_of_what_is_available_say_what_is_free(tmp_path: Path) -> None:
    system = system_with(tmp_path, "0::/\n", {})
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 100 kB\nMemFree: 30 kB\nHugePages_Total: 7\n")
    assert (system.total_bytes(), system.available_bytes()) == (100 * 1024, 30 * 1024)


def test_without_any_figure_nothing_is_available_and_nothing_is_known_to_limit(tmp_path: Path) -> None:
    system = LinuxMemory(tmp_path / "none", tmp_path / "none")
    assert (system.total_bytes(), system.available_bytes()) == (2**60, 0)


@pytest.mark.parametrize(("usage", "room"), [(5 * GIB, 0), (GIB, 2 * GIB), (0, 3 * GIB)])
def test_a_full_group_has_no_room(tmp_path: Path, usage: int, room: int) -> None:
    system = system_with(tmp_path, "0::/a\n", {"a/memory.max": f"{3 * GIB}", "a/memory.current": f"{usage}"})
    assert system.available_bytes() == room


def test_the_tightest_of_nested_groups_counts_and_the_totals_of_version_1_before_its_own(tmp_path: Path) -> None:
    files = {
        "memory/x/y/memory.limit_in_bytes": f"{4 * GIB}", "memory/x/y/memory.usage_in_bytes": f"{3 * GIB}",
        "memory/x/y/memory.stat": f"inactive_file 0\ntotal_inactive_file {GIB}\n",
        "memory/x/memory.limit_in_bytes": f"{5 * GIB}", "memory/x/memory.usage_in_bytes": f"{4 * GIB}",
    }  # fmt: skip
    system = system_with(tmp_path, "9:cpu,memory:/x/y\n8:cpu:/z\n", files)
    assert (system.total_bytes(), system.available_bytes()) == (4 * GIB, GIB)


def test_cached_files_do_not_make_more_room_than_the_limit(tmp_path: Path) -> None:
    files = {"a/memory.max": f"{GIB}", "a/memory.current": "5", "a/memory.stat": f"inactive_file {GIB}\n"}
    assert system_with(tmp_path, "0::/a\n", files).available_bytes() == GIB


def test_a_group_on_the_way_to_the_root_that_is_no_group_of_ours_is_not_read(tmp_path: Path) -> None:
    system = system_with(tmp_path, "0::/a\n", {"a/memory.max": f"{2 * GIB}", "a/memory.current": "0"})
    (tmp_path / "memory.max").write_text("1")  # above the mount
    assert system.total_bytes() == 2 * GIB


def test_kills_are_counted_by_version_1_too(tmp_path: Path) -> None:
    files = {"memory/x/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"}
    assert system_with(tmp_path, "4:memory:/x\n", files).oom_kills() == 3


def test_resetting_a_mark_is_what_the_kernel_is_told(tmp_path: Path) -> None:
    system = system_with(tmp_path, "0::/\n", {})
    (tmp_path / "proc" / "7").mkdir()
    assert system.reset_peak(7)
    assert (tmp_path / "proc" / "7" / "clear_refs").read_text() == "5"


def test_a_status_without_the_line_says_nothing(tmp_path: Path) -> None:
    system = system_with(tmp_path, "0::/\n", {})
    (tmp_path / "proc" / "7").mkdir()
    (tmp_path / "proc" / "7" / "status").write_text("Name:\tVmRSS: 5 kB\nState:\tZ (zombie)\n")
    assert (system.resident_bytes(7), system.peak_bytes(7)) == (0, None)


def test_a_group_may_have_a_colon_in_its_name(tmp_path: Path) -> None:
    system = system_with(tmp_path, "0::/a:b\n", {"a:b/memory.max": f"{GIB}", "a:b/memory.current": "0"})
    assert system.total_bytes() == GIB
