"""What a run tells whoever watches it: a screen, a service, a notebook. The one here keeps silent."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from pipelines.schema.plan import Plan
from pipelines.schema.record import Event
from pipelines.session.prepare import Prepared

#: Told of a transfer: bytes so far, bytes in all.
Progress = Callable[[int, int], None]


class Watcher:
    """Silent. Override what is to be seen; every method is called from the thread that runs, but events come from any."""

    def say(self, text: str) -> None:
        """A sentence: what is fetched or built, how to go on."""

    def transfer(self) -> AbstractContextManager[Progress]:
        """A download begins; what the context gives hears how far it is."""
        return nullcontext(lambda done, total: None)

    def planned(self, prepared: Prepared, plan: Plan, done: int) -> None:
        """The plan of what is left is made and checked. done: tasks that an earlier run has finished."""

    def __call__(self, event: Event) -> None:
        """Something happened (`schema.record.KINDS`)."""
