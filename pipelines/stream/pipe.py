"""An iterator on a thread of its own, a bounded number of items ahead of its reader, who may stop reading at any time."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


def close(iterator: object) -> None:
    """Close a generator, or anything else that can be closed; others are left to themselves."""
    method = getattr(iterator, "close", None)
    if method is not None:
        method()


class Pipe(Generic[Item]):
    """Runs an iterator on a thread of its own, at most `depth` items ahead. Iterate over it; close it, or leave its `with`, to stop early.

    Whoever stops reading leaves nothing behind: closing, leaving or forgetting the pipe stops the thread at its next item and closes
    the iterator. An exception of the iterator is raised to the reader where it happened in the order of items.
    """

    def __init__(self, items: Iterable[Item], depth: int = 2) -> None:
        if depth < 1:
            raise ValueError("A pipe's depth is at least 1.")
        self._shared: _Shared[Item] = _Shared(depth)
        # The thread knows the shared state and not the pipe, so that a forgotten pipe can be collected, which stops the thread.
        self._thread = threading.Thread(
            target=_produce, args=(iter(items), self._shared), daemon=True, name="headroom-pipe"
        )
        self._stop = weakref.finalize(self, self._shared.cancel)
        self._thread.start()

    def __iter__(self) -> Iterator[Item]:
        while True:
            try:
                yield self._shared.take()
            except _Ended:
                return

    def __enter__(self) -> Pipe[Item]:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self, timeout: float | None = None) -> None:
        """Stop, and wait until the item being made is done (at most `timeout` seconds)."""
        self._stop()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)


class _Ended(Exception):
    """Nothing more comes."""


class _Shared(Generic[Item]):
    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.items: deque[Item] = deque()
        self.changed = threading.Condition()
        self.cancelled = False
        self.ended = False
        self.error: BaseException | None = None

    def put(self, item: Item) -> bool:
        """Wait for room. False where the reader has gone."""
        with self.changed:
            self.changed.wait_for(lambda: self.cancelled or len(self.items) < self.depth)
            if self.cancelled:
                return False
            self.items.append(item)
            self.changed.notify_all()
            return True

    def take(self) -> Item:
        with self.changed:
            self.changed.wait_for(lambda: self.items or self.ended or self.cancelled)
            if self.items and not self.cancelled:
                item = self.items.popleft()
                self.changed.notify_all()
                return item
            if self.error is not None and not self.cancelled:
                error, self.error = self.error, None
                raise error
            raise _Ended

    def end(self, error: BaseException | None) -> None:
        with self.changed:
            self.ended, self.error = True, error
            self.changed.notify_all()

    def cancel(self) -> None:
        with self.changed:
            self.cancelled = True
            self.items.clear()
            self.changed.notify_all()


def _produce(items: Iterator[Item], shared: _Shared[Item]) -> None:
    error: BaseException | None = None
    try:
        for item in items:
            if not shared.put(item):
                break
    except BaseException as raised:  # handed to the reader, who is on another thread
        error = raised
    finally:
        close(items)
        shared.end(error)
