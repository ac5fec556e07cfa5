"""The variants each node may use here, in the tier's order, with the footprints that hold on this machine. A function of the inventory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pipelines.devices.registry import parse_spec
from pipelines.footprints.regression import DECLARED_MARGIN
from pipelines.footprints.store import Key, estimate
from pipelines.graph.expand import Sizing, holds_weights, is_isolated
from pipelines.schema.config import Footprint, NodeSpec, Variant, on_cpu
from pipelines.schema.errors import UsageError
from pipelines.session.availability import check_pinned, passed_over, why_not
from pipelines.session.inventory import Inventory

#: Seconds a load takes of which nothing is known but that there is one.
_UNKNOWN_LOAD_SECONDS = 0.01


@dataclass(frozen=True)
class Candidates:
    """What may be chosen, before it is.

    Attributes
    ----------
    by_node : for each node with a role, its usable variants, in the tier's order; a pinned role has its one.
    margins : by variant name, the share added to its footprint (0.1 is 10 %).
    notes : why other variants were passed over, and what will be fetched.
    """

    by_node: Mapping[str, tuple[Variant, ...]]
    margins: Mapping[str, float]
    notes: tuple[str, ...] = ()


def find_candidates(inventory: Inventory) -> Candidates:
    """The usable variants of every node. Raises `UsageError` where a node has none, and as `check_pinned` does."""
    by_node: dict[str, tuple[Variant, ...]] = {}
    margins: dict[str, float] = {}
    pinned_notes: list[str] = []
    passed: dict[str, tuple[Variant, str]] = {}
    for name in inventory.graph.order:
        node = inventory.graph.node(name)
        if node.role is None:
            continue
        if node.role in inventory.settings.pinned:
            pinned_notes += _pinned_notes(inventory, node.role)
        unusable = _unusable(inventory, node.role)
        passed |= {variant.name: (variant, why) for variant, why in unusable}
        sized = [_sized(inventory, _for_node(inventory, each, node)) for each in _usable(inventory, node.role)]
        if not sized:
            reasons = " ".join(passed_over(unusable))
            raise UsageError(f"Node {name}: no variant of {node.role} can be used here. {reasons}")
        by_node[name] = tuple(variant for variant, _ in sized)
        margins |= {variant.name: margin for variant, margin in sized}
    return Candidates(by_node, margins, (*dict.fromkeys(pinned_notes), *passed_over(passed.values())))


def sizing_of(inventory: Inventory, margins: Mapping[str, float]) -> Sizing:
    """How footprints become bytes on this device, under this limit."""
    spec = inventory.settings.device
    return Sizing(
        memory=inventory.device.memory,
        limit_bytes=inventory.limit_bytes,
        base_context=spec.context if inventory.device.memory == "host" else 0,
        default_margin=DECLARED_MARGIN * inventory.mode.margin_factor,
        margins=margins,
    )


def _pinned_notes(inventory: Inventory, role: str) -> list[str]:
    offline = inventory.settings.options.offline
    notes = (check_pinned(each, inventory.found[each.origin], offline=offline) for each in inventory.variants[role])
    return [note for note in notes if note]


def _usable(inventory: Inventory, role: str) -> list[Variant]:
    pinned = role in inventory.settings.pinned
    return [each for each in inventory.variants[role] if pinned or inventory.found[each.origin].usable]


def _unusable(inventory: Inventory, role: str) -> list[tuple[Variant, str]]:
    if role in inventory.settings.pinned:
        return []
    reasons = ((each, why_not(each, inventory.found[each.origin])) for each in inventory.variants[role])
    return [(variant, why) for variant, why in reasons if why]


def _for_node(inventory: Inventory, variant: Variant, node: NodeSpec) -> Variant:
    """The variant under the tier's knobs, unless the user pinned it, and under its node's own: then it is another model."""
    settings = inventory.settings
    if variant.role not in settings.pinned:
        tuned = settings.tier.knobs.get(variant.role, {})
        known = {knob: value for knob, value in tuned.items() if knob in variant.knobs}
        variant = replace(variant, knobs={**variant.knobs, **known})
    if node.isolation is not None:
        variant = replace(variant, isolation=node.isolation)
    elif variant.origin in inventory.leaking:
        variant = replace(variant, isolation="process")
    place = node.device or settings.device.roles.get(variant.role)
    if place is not None and parse_spec(place)[0].memory == "host":
        variant = on_cpu(variant)
    if not node.knobs:
        return variant
    return variant.changed(f"@{node.name}", knobs={**variant.knobs, **node.knobs})


def _sized(inventory: Inventory, variant: Variant) -> tuple[Variant, float]:
    """The variant with the footprint that was measured here, where it was, and the margin that has earned."""
    memory = inventory.device.memory
    digest = inventory.digests.get(variant.origin, "")
    key = Key.of(variant, digest, inventory.device.footprint_key, inventory.versions)
    holding = estimate(inventory.observations.of(key), variant.footprint_in(memory))
    footprint = _with_load(variant, holding.footprint, plain=inventory.traits[variant.target].plain)
    margin = holding.margin * inventory.mode.margin_factor
    return variant.with_footprint(memory, footprint), margin


def _with_load(variant: Variant, footprint: Footprint, *, plain: bool) -> Footprint:
    """The same, with a moment for its load where there is one: what weighs nothing here must be loaded all the same."""
    nothing = plain and not is_isolated(variant)
    if nothing or holds_weights(footprint):
        return footprint
    return replace(footprint, load_seconds=_UNKNOWN_LOAD_SECONDS)
