"""What a run taught goes back to where later inventories find it: measured footprints, and models that leak."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from pipelines.devices.leaks import Return
from pipelines.devices.protocol import Device
from pipelines.footprints.store import FootprintStore
from pipelines.paths import user_folders
from pipelines.run.learning import keep_observations
from pipelines.run.outcome import Observed
from pipelines.session.inventory import Inventory, known_leaks


def learn_footprints(
    inventory: Inventory, device: Device, observed: Sequence[Observed], failed: Collection[str]
) -> None:
    """Keep what a run showed of its variants' workspaces, unless the store is frozen for it (a sweep's jobs).

    Raises `SurroundingsFailed` where the store cannot be written.
    """
    keep_observations(FootprintStore(user_folders().footprints, frozen=inventory.frozen), observed, device, failed)


def learn_leaks(returns: Iterable[Return]) -> None:
    """Note the models that kept memory after their unload: they are isolated next time. Raises `OSError`."""
    known = known_leaks()
    for returned in returns:
        known.add(returned)
