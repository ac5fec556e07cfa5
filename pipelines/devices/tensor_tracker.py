"""Counts the bytes of torch tensors as they come and go, as a card would see them: every storage an operation touches.

A dispatch mode sees each operation's arguments and results; a weak reference on each storage is called when it is freed.
What it cannot see: workspaces inside an operation (cuDNN, cuBLAS), fragmentation, engines that are not torch. Host
tensors count too, because in a simulation everything is on the host. The mode belongs to the thread that enters it.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

#: torch's CUDA allocator rounds every block up to this.
_BLOCK = 512
#: `tensors_in` looks no deeper and at no more objects than this; models are found long before.
_DEPTH, _OBJECTS = 5, 20_000


class TensorTracker:
    """Live bytes of every storage seen. `changed(live_bytes)` is called after each growth and may raise to refuse it."""

    def __init__(self, changed: Callable[[int], None] = lambda live: None) -> None:
        self.live = 0
        self._changed = changed
        self._sizes: dict[int, int] = {}
        self._lock = threading.RLock()

    @contextmanager
    def operations(self, touched: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Count what this thread's torch operations touch; `touched()` is called for each. Imports torch."""
        import torch
        from torch.utils._python_dispatch import TorchDispatchMode
        from torch.utils._pytree import tree_leaves

        tracker = self

        class Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
            def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                out = func(*args, **(kwargs or {}))
                touched()
                for leaf in tree_leaves((args, kwargs, out)):
                    if isinstance(leaf, torch.Tensor):
                        tracker.note(leaf)
                return out

        with Mode():  # type: ignore[no-untyped-call]
            yield

    def note(self, tensor: Any) -> int:
        """Count the tensor's storage until it is freed. Its bytes now, 0 for one without (meta, sparse)."""
        if tensor.device.type == "meta":
            return 0
        try:
            storage = tensor.untyped_storage()
        except (NotImplementedError, RuntimeError):
            return 0
        size: int = -(-storage.nbytes() // _BLOCK) * _BLOCK
        key = storage._cdata
        with self._lock:
            known = self._sizes.get(key)
            if known == size:
                return size
            self._sizes[key] = size
            self.live += size - (known or 0)
            grown = size > (known or 0)
            if known is None:
                weakref.finalize(storage, self._freed, key).atexit = False
        if grown:
            self._changed(self.live)
        return size

    def _freed(self, key: int) -> None:
        with self._lock:
            self.live -= self._sizes.pop(key, 0)


def tensors_in(made: Any) -> list[Any]:
    """Every torch tensor inside what a node's `load` returned: modules, containers, plain objects' attributes."""
    import torch

    found: list[Any] = []
    seen: set[int] = set()
    level = [made]
    for _ in range(_DEPTH):
        below: list[Any] = []
        for thing in level:
            if id(thing) in seen or len(seen) > _OBJECTS:
                continue
            seen.add(id(thing))
            if isinstance(thing, torch.nn.Module):
                found += [*thing.parameters(), *thing.buffers()]
            elif isinstance(thing, torch.Tensor):
                found.append(thing)
            else:
                below += _inside(thing)
        level = below
    return found


def _inside(thing: Any) -> list[Any]:
    if isinstance(thing, dict):
        return list(thing.values())
    if isinstance(thing, (list, tuple, set, frozenset)):
        return list(thing)
    if isinstance(thing, (str, bytes, int, float, type)) or callable(thing):
        return []
    slots = [getattr(thing, name, None) for name in getattr(type(thing), "__slots__", ())]
    return [*getattr(thing, "__dict__", {}).values(), *slots]
