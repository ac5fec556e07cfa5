"""Behaviour of the allocator's settings: they hold in a process of their own, and the user's come first."""

import os
import subprocess
import sys
from collections.abc import Mapping
from types import SimpleNamespace

import pytest

from pipelines.devices import glibc

#: Frees a mapped block, so that glibc would raise its threshold, then asks where an 8 MiB block goes: brk moves or not.
_PROBE = """
import ctypes, sys
from pipelines.devices import glibc
if "fixed" in sys.argv: assert glibc.fix_thresholds()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.sbrk.restype = ctypes.c_void_p
libc.malloc.argtypes, libc.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
libc.free(libc.malloc(24 << 20))
before = libc.sbrk(0)
libc.malloc(int(sys.argv[1]))
print(libc.sbrk(0) - before)
"""


def _heap_growth(*how: str, block: int = 8 << 20, environ: Mapping[str, str] | None = None) -> int:
    """By how much the heap grows for a block of so many bytes."""
    run = [sys.executable, "-c", _PROBE, str(block), *how]
    done = subprocess.run(run, capture_output=True, text=True, check=True, env={**os.environ, **(environ or {})})
    return int(done.stdout)


def test_a_block_of_many_mib_never_lands_in_the_heap() -> None:
    assert _heap_growth() >= 8 << 20  # what glibc does by itself, and why this module is
    assert _heap_growth("fixed") == 0


def test_the_users_own_settings_come_first() -> None:
    assert not glibc.fix_thresholds({"MALLOC_MMAP_THRESHOLD_": "65536"})
    assert not glibc.fix_thresholds({"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=1"})


def test_smaller_blocks_stay_in_the_heap_and_a_process_yet_to_start_is_told_by_variables() -> None:
    assert _heap_growth("fixed", block=4 << 20) == 0
    assert _heap_growth("fixed", block=3 << 20) >= 3 << 20
    assert _heap_growth(block=4 << 20, environ=glibc.threshold_variables()) == 0
    assert _heap_growth(block=3 << 20, environ=glibc.threshold_variables()) >= 3 << 20


def test_other_settings_of_glibc_are_not_in_the_way() -> None:
    assert glibc.fix_thresholds({"GLIBC_TUNABLES": "glibc.rtld.nns=4", "PATH": "/bin"})


#: Fills the heap with small blocks below one that stays, frees them, and prints how many MiB trimming gave back.
_TRIM = """
import ctypes, os
from pipelines.devices import glibc
from pipelines.devices.linux import LinuxMemory
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
blocks = [libc.malloc(50_000) for _ in range(1000)]
for block in blocks:
    ctypes.memset(block, 1, 50_000)
for block in blocks[:-1]:
    libc.free(block)
held = LinuxMemory().resident_bytes(os.getpid())
glibc.trim()
print((held - LinuxMemory().resident_bytes(os.getpid())) >> 20)
"""


def test_pages_that_are_free_inside_the_heap_are_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", _TRIM], capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 40


def test_what_the_c_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told = list[tuple[object, ...]]()

    def library(taken: int) -> SimpleNamespace:
        return SimpleNamespace(
            malloc_trim=lambda *given: told.append(("trim", *given)),
            mallopt=lambda *given: (told.append(given), taken)[1],
        )

    monkeypatch.setattr(glibc.ctypes, "CDLL", lambda name: library(1))
    glibc.trim()
    assert glibc.fix_thresholds({}) is True
    assert told == [("trim", 0), (-3, glibc.MAPPED_FROM), (-1, glibc.MAPPED_FROM)]  # malloc.h's numbers
    monkeypatch.setattr(glibc.ctypes, "CDLL", lambda name: library(0))
    assert glibc.fix_thresholds({}) is False
    monkeypatch.setattr(glibc.ctypes, "CDLL", lambda name: SimpleNamespace())  # another C library
    glibc.trim()
    assert glibc.fix_thresholds({}) is False


def test_a_process_yet_to_start_is_told_the_same() -> None:
    assert glibc.threshold_variables() == {
        "MALLOC_MMAP_THRESHOLD_": str(glibc.MAPPED_FROM),
        "MALLOC_TRIM_THRESHOLD_": str(glibc.MAPPED_FROM),
    }
