"""Which exceptions mean that memory ran out: every library has its own. Recovery is started by nothing else."""

from __future__ import annotations

import errno

#: Lower-case pieces of the messages libraries give. torch (CUDA, CPU), cuBLAS/cuDNN, CTranslate2, onnxruntime.
_MESSAGES = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "failed to allocate memory",
    "bad_alloc",
    "alloc_failed",
    "allocation_failed",
    "unable to find an engine to execute this computation",  # a convolution whose every algorithm was refused its workspace
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error`, or what it was raised from, means that memory ran out.

    >>> is_out_of_memory(RuntimeError("CUDA failed with error out of memory"))
    True
    >>> is_out_of_memory(RuntimeError("shape mismatch"))
    False
    """
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        if isinstance(link, MemoryError) or (isinstance(link, OSError) and link.errno == errno.ENOMEM):
            return True
        library = isinstance(link, RuntimeError) or type(link).__module__.startswith("onnxruntime.")
        if library and any(piece in str(link).lower() for piece in _MESSAGES):
            return True
        seen.add(id(link))
        link = link.__cause__ or link.__context__
    return False
