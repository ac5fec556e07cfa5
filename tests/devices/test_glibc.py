"""Behaviour of the allocator's settings: they hold in a process of their own, and the user's come first."""

import subprocess
import sys

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
libc.malloc(8 << 20)
print(libc.sbrk(0) - before)
"""


def _heap_growth(*how: str) -> int:
    done = subprocess.run([sys.executable, "-c", _PROBE, *how], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_a_block_of_many_mib_never_lands_in_the_heap() -> None:
    assert _heap_growth() >= 8 << 20  # what glibc does by itself, and why this module is
    assert _heap_growth("fixed") == 0


def test_the_users_own_settings_come_first() -> None:
    assert not glibc.fix_thresholds({"MALLOC_MMAP_THRESHOLD_": "65536"})
    assert not glibc.fix_thresholds({"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=1"})
