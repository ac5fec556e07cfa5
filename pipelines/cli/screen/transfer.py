"""A download as a person at a terminal sees it: what is coming, how far it is, how long it will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console

from pipelines.schema.units import format_bytes, format_seconds


@contextmanager
def show_transfer(out: Console) -> Iterator[Callable[[int, int], None]]:
    """A bar where there is a terminal, else a line at each tenth."""
    if not out.is_terminal:
        yield Lines(lambda text: out.print(text, soft_wrap=True))
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    with Progress(BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(), console=out) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@dataclass
class Lines:
    """Progress as lines: `30 %, 45 MiB of 150 MiB, about 2 min left`. The estimate counts only what came in this try."""

    say: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    _began: tuple[float, int] | None = field(default=None, init=False)
    _tenth: int = field(default=0, init=False)

    def __call__(self, done: int, total: int) -> None:
        """Told of bytes so far."""
        now = self.clock()
        if self._began is None:
            self._began, self._tenth = (now, done), 10 * done // max(total, 1)
        tenth = 10 * done // max(total, 1)
        if tenth <= self._tenth:
            return
        self._tenth = tenth
        seconds, brought = now - self._began[0], done - self._began[1]
        left = f", about {format_seconds(seconds / brought * (total - done))} left" if brought and done < total else ""
        self.say(f"{10 * tenth} %, {format_bytes(done)} of {format_bytes(total)}{left}")
