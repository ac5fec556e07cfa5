"""From settings to a decision that can be shown, explained or run. Nothing is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.devices.protocol import Device
from pipelines.schema.config import Variant
from pipelines.schema.settings import Settings
from pipelines.session.candidates import find_candidates
from pipelines.session.choice import RunChoice, choose
from pipelines.session.device import find_device
from pipelines.session.inventory import Inventory, take_inventory
from pipelines.session.job import make_nodes
from pipelines.session.pipeline_part import EVERYTHING, Selection


@dataclass(frozen=True)
class Prepared:
    """What there is, what was chosen of it, and the device it is for. notes: lines a person should see."""

    inventory: Inventory
    choice: RunChoice
    device: Device
    notes: tuple[str, ...] = ()

    @property
    def absent(self) -> tuple[Variant, ...]:
        """Chosen variants of which something must be fetched or built first; only what the user pinned is ever here."""
        chosen = {variant.origin: variant for variant in self.choice.variants.values()}
        return tuple(v for origin, v in chosen.items() if self.inventory.found[origin].weights.missing)


def prepare(
    settings: Settings, selection: Selection = EVERYTHING, *, keep_going: bool = False, frozen: bool = False
) -> Prepared:
    """Look once, then choose. keep_going: input that cannot be read is left out. frozen: nothing measured is added.

    Raises as `take_inventory` and `find_candidates` do, and `DoesNotFit`.
    """
    device, device_notes = find_device(settings)
    inventory = take_inventory(settings, device, selection, keep_going=keep_going, frozen=frozen)
    candidates = find_candidates(inventory)
    choice = choose(inventory, candidates)
    make_nodes(
        inventory, choice.variants, device
    )  # refuses knobs that a node class does not take, before anything else
    notes = (*device_notes, *inventory.notes, *candidates.notes, *choice.notes)
    return Prepared(inventory, choice, device, notes)
