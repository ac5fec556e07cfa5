"""What a run or a measurement showed goes where later inventories find it: measured footprints, and models that leak."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from pipelines.devices.leaks import Return
from pipelines.devices.protocol import Device
from pipelines.footprints import measurement
from pipelines.footprints.measurement import Measurement
from pipelines.footprints.store import FootprintStore, Key
from pipelines.paths import user_folders
from pipelines.run.observations import keep_observations
from pipelines.run.outcome import Observed
from pipelines.schema.config import Variant
from pipelines.session.availability import Availability
from pipelines.session.inventory import Inventory, known_leaks, weights_digest


def learn_footprints(
    inventory: Inventory, device: Device, observed: Sequence[Observed], failed: Collection[str]
) -> None:
    """Keep what a run showed of its variants' workspaces, unless the store is frozen for it (a sweep's jobs).

    Raises `SurroundingsFailed` where the store cannot be written.
    """
    keep_observations(FootprintStore(user_folders().footprints, frozen=inventory.frozen), observed, device, failed)


def measure_variant(
    variant: Variant, found: Availability, device: Device, trusted: Sequence[str], seconds: Sequence[float] = ()
) -> Measurement:
    """Measure a variant that is here, in a fresh process, and store what was seen. seconds: lengths of input to try.

    Raises as `footprints.measurement.measure` does, and `SurroundingsFailed` where the store cannot be written.
    """
    path = found.weights.path
    place = {"spec": device.spec, "total": device.total_bytes}
    sizes = measurement.sizes_for(variant.role, seconds or measurement.DEFAULT_SIZES)
    seen = measurement.measure(variant, sizes, weights=path, device=place, python=found.python, trusted=trusted)
    key = Key.of(variant, weights_digest(variant, path), device.footprint_key)
    FootprintStore(user_folders().footprints).add(key, seen.observations)
    return seen


def learn_leaks(returns: Iterable[Return]) -> None:
    """Note the models that kept memory after their unload: they are isolated next time. Raises `OSError`."""
    known = known_leaks()
    for returned in returns:
        known.add(returned)
