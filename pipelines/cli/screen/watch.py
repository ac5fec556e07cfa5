"""A run on the screen: the plan, the steps as they go, downloads."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Self

from rich.console import Console

from pipelines.cli.screen.live import Live
from pipelines.cli.screen.show import show_plan
from pipelines.cli.screen.transfer import show_transfer
from pipelines.schema.plan import Plan
from pipelines.schema.record import Event
from pipelines.session.prepare import Prepared
from pipelines.session.watcher import Watcher


class Screen(Watcher):
    """Draws what a run tells. Use as a context manager: a live line ends with it."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._live: Live | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def say(self, text: str) -> None:
        """A sentence."""
        self._out.print(text, soft_wrap=True)

    def transfer(self) -> AbstractContextManager[Callable[[int, int], None]]:
        """A bar, or lines."""
        return show_transfer(self._out)

    def planned(self, prepared: Prepared, plan: Plan, done: int) -> None:
        """The plan as a table; from here on steps are shown."""
        if done:
            of = len(prepared.choice.apart.tasks)
            self._out.print(f"{done} of {of} tasks are finished already and are kept.")
        show_plan(self._out, prepared, plan)
        self._out.print()
        self._live = self._open.enter_context(Live(self._out, len(plan.steps), plan.limit_bytes))

    def __call__(self, event: Event) -> None:
        """One event."""
        if self._live is not None:
            self._live(event)
