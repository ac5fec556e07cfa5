"""A thread that polls a figure for its highest value, for counters without a high-water mark."""

from __future__ import annotations

import threading
from collections.abc import Callable


class PeakSampler:
    """Polls `read` each `every` seconds until `stop`, which returns the highest value seen."""

    def __init__(self, read: Callable[[], int], every: float) -> None:
        self._read, self._every = read, every
        self._peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="memory sampler", daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """End the thread; the highest value, 0 when it never came to look."""
        self._done.set()
        self._thread.join()
        return self._peak

    def _loop(self) -> None:
        while not self._done.wait(self._every):
            self._peak = max(self._peak, self._read())
