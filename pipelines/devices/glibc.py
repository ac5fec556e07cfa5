"""The allocator of the C library: thresholds fixed so that peaks repeat, free pages given back. Without glibc, nothing.

Left alone, glibc raises the size from which a block is mapped on its own whenever such a block is freed. From then on
blocks of many MiB share the heap, and whether one fits into a hole that another left is chance: the same step on the same
sound has a peak of 25 MiB one time and of 42 MiB the next. A fixed size costs some page faults and makes peaks repeat.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping

#: Blocks from this many bytes on are mapped on their own and come back the moment they are freed.
MAPPED_FROM = 4 << 20
_TRIM, _MAP = -1, -3  # glibc's names for mallopt: M_TRIM_THRESHOLD, M_MMAP_THRESHOLD


def fix_thresholds(environ: Mapping[str, str] = os.environ) -> bool:
    """Fix the sizes for this process; settings made by the user stay in force. Whether it was done."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if (
        mallopt is None
        or any(name in environ for name in threshold_variables())
        or "malloc" in environ.get("GLIBC_TUNABLES", "")
    ):
        return False
    return bool(mallopt(_MAP, MAPPED_FROM)) and bool(mallopt(_TRIM, MAPPED_FROM))


def threshold_variables() -> dict[str, str]:
    """The same for a process that is yet to start."""
    return {"MALLOC_MMAP_THRESHOLD_": str(MAPPED_FROM), "MALLOC_TRIM_THRESHOLD_": str(MAPPED_FROM)}


def trim() -> None:
    """Give free pages back to the kernel."""
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if give_back is not None:
        give_back(0)
