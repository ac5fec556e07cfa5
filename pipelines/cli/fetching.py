"""Fetching as a person at a terminal sees it: what is coming, how far it is, how long it will take. Then the environment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from pipelines.schema.config import Variant
from pipelines.schema.errors import UsageError
from pipelines.schema.units import format_bytes, format_seconds
from pipelines.session.availability import Terms, check_environment, look_up
from pipelines.session.prepare import Prepared
from pipelines.weights.environments import environment_for
from pipelines.weights.fetch import fetch
from pipelines.weights.hub import Hub, HuggingFace
from pipelines.weights.spec import WeightsSpec


def bring(variant: Variant, terms: Terms, out: Console, hub: Hub | None = None) -> Path | None:
    """Weights and environment of a variant, fetched or built where they are not there. Returns where the weights lie.

    Raises `UsageError` where its licence was not accepted or its environment may not be installed, and as `fetch` does.
    """
    found = look_up(variant, terms)
    if found.consent:
        raise UsageError(f"{variant.name} is not fetched: {found.consent}.")
    check_environment(variant, found)
    if variant.environment and found.python is None:
        out.print(f"Building the environment of {variant.name}: {', '.join(variant.environment)}.", soft_wrap=True)
        environment_for(variant.environment, trusted=True)
    path = look_up(variant, terms).weights.path
    if path is not None or WeightsSpec.of(variant) is None:
        return path
    with _shown(out) as report:
        return fetch(
            variant, terms.home, hub or HuggingFace(), report, begin=lambda text: out.print(text, soft_wrap=True)
        )


def brought(prepared: Prepared, out: Console) -> Prepared:
    """The same, with what the user pinned and is not here fetched, now that there is a plan for it."""
    if not prepared.absent:
        return prepared
    inventory = prepared.inventory
    terms = Terms.of(inventory.settings, trusted=inventory.trusted)
    found = dict(inventory.found)
    for variant in prepared.absent:
        bring(variant, terms, out)
        found[variant.origin] = look_up(variant, terms)
    return replace(prepared, inventory=replace(inventory, found=found))


@contextmanager
def _shown(out: Console) -> Iterator[Callable[[int, int], None]]:
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
