"""Memory as Linux counts it: resident sets and their high-water marks, the machine's RAM, limits of control groups.

Sources: proc(5) for `VmRSS`, `VmHWM`, `VmData` and `clear_refs`; the kernel's cgroup-v1/memory and cgroup-v2 documents.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

#: Control-group v1 says "no limit" with a number near 2**63; nothing real is above this.
_NO_LIMIT = 2**60


@dataclass(frozen=True, slots=True)
class LinuxMemory:
    """The two file systems the kernel answers in; tests point them at folders of their own."""

    proc: Path = Path("/proc")
    cgroups: Path = Path("/sys/fs/cgroup")

    def resident_bytes(self, pid: int) -> int:
        """Bytes of RAM the process holds now; 0 when it is gone."""
        return self._status(pid, b"VmRSS:") or 0

    def peak_bytes(self, pid: int) -> int | None:
        """The highest resident set since the process began or `reset_peak`; None where the kernel does not report it."""
        return self._status(pid, b"VmHWM:")

    def data_bytes(self, pid: int) -> int:
        """Private writable address space of the process, which is what RLIMIT_DATA limits."""
        return self._status(pid, b"VmData:") or 0

    def reset_peak(self, pid: int) -> bool:
        """Bring the high-water mark down to now. False where the kernel does not let us."""
        try:
            (self.proc / str(pid) / "clear_refs").write_text("5")
        except OSError:
            return False
        return True

    def total_bytes(self) -> int:
        """RAM this process may hold: the machine's, or its control group's limit where that is lower."""
        total = _kib_fields(self.proc / "meminfo").get("MemTotal", _NO_LIMIT)
        return min([total, *(limit for limit, _, _ in self._limits())])

    def available_bytes(self) -> int:
        """RAM that could be had without swapping, the control group's included."""
        info = _kib_fields(self.proc / "meminfo")
        room = [limit - _working_set(folder, _number(folder / usage) or 0) for limit, folder, usage in self._limits()]
        return max(0, min([info.get("MemAvailable", info.get("MemFree", 0)), *room]))

    def oom_kills(self) -> int:
        """How often the kernel has killed a process of our control groups because memory ran out; 0 where it does not report them."""
        found = 0
        for folder, _, _ in self._group_folders():
            for name in ("memory.events", "memory.oom_control"):
                fields = dict(line.split(maxsplit=1) for line in _lines(folder / name) if " " in line)
                found = max(found, int(fields.get("oom_kill", 0)))
        return found

    def _status(self, pid: int, name: bytes) -> int | None:
        """One field of a process's status in bytes. It is read several times in each step, so it reads no more than that."""
        try:
            with open(f"{self.proc}/{pid}/status", "rb", buffering=0) as file:
                text = file.read()
        except OSError:
            return None
        at = text.find(b"\n" + name)
        return int(text[at + 1 + len(name) : text.index(b"kB", at)]) * 1024 if at >= 0 else None

    def _limits(self) -> list[tuple[int, Path, str]]:
        """(limit, folder, its usage file) of every control group this process is in that has one, from the leaf upwards."""
        found = []
        for folder, limit_name, usage_name in self._group_folders():
            limit = _number(folder / limit_name)
            if limit is not None and limit < _NO_LIMIT:
                found.append((limit, folder, usage_name))
        return found

    def _group_folders(self) -> tuple[tuple[Path, str, str], ...]:
        return _folders(self.cgroups, "\n".join(_lines(self.proc / "self" / "cgroup")))


@lru_cache(maxsize=4)
def _folders(cgroups: Path, membership: str) -> tuple[tuple[Path, str, str], ...]:
    """Control-group folders with the names of their limit and usage files; a process seldom changes its groups."""
    folders: list[tuple[Path, str, str]] = []
    for line in membership.splitlines():
        number, controllers, path = (*line.split(":", 2), "", "")[:3]
        if number == "0" and not controllers:
            root, names = cgroups, ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            root, names = cgroups / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        leaf = root / path.lstrip("/")
        # Inside a container the path is often the host's and does not exist; the mount's root is then ours.
        chain = [leaf, *leaf.parents] if leaf.is_dir() else [root]
        folders += [(folder, *names) for folder in chain if folder == root or root in folder.parents]
    return tuple(folders)


def _working_set(folder: Path, usage: int) -> int:
    """Usage without clean file pages, which the kernel gives back before it refuses an allocation."""
    stat = dict(line.split(maxsplit=1) for line in _lines(folder / "memory.stat") if " " in line)
    cache = stat.get("total_inactive_file", stat.get("inactive_file", "0"))
    return max(0, usage - int(cache))


def _kib_fields(path: Path) -> dict[str, int]:
    """`Name:  123 kB` lines as bytes."""
    fields = {}
    for line in _lines(path):
        name, _, rest = line.partition(":")
        if rest.endswith("kB"):
            fields[name] = int(rest[:-2]) * 1024
    return fields


def _number(path: Path) -> int | None:
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].strip().isdigit() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
