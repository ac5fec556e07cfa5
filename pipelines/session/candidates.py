"""What may be chosen from: items, and for each node the variants that can be used here, with the footprints that hold here."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipelines.config import catalog
from pipelines.config.tier import decide_residency
from pipelines.config.variants import load_variant
from pipelines.devices.leaks import KnownLeaks
from pipelines.devices.protocol import Device
from pipelines.footprints.regression import DECLARED_MARGIN
from pipelines.footprints.store import FootprintStore, Key
from pipelines.graph.build import Graph
from pipelines.graph.expand import Sizing, holds_weights, is_isolated
from pipelines.inputs.items import find_items
from pipelines.inputs.tables import read_lyrics
from pipelines.libraries import memory_versions
from pipelines.node_classes import node_class, trusted_packages
from pipelines.paths import user_folders
from pipelines.run.ladder import MODES, Mode
from pipelines.schema.config import Footprint, Item, NodeSpec, Variant, on_cpu
from pipelines.schema.errors import TaskFailed, UsageError, did_you_mean
from pipelines.schema.node import Place, Plain
from pipelines.schema.settings import Settings
from pipelines.session.availability import Availability, passed_over
from pipelines.session.device import device_of, limit_of
from pipelines.session.selection import EVERYTHING, Selection, make_graph
from pipelines.weights import WeightsLocation, WeightsSpec, digest_of

#: Seconds a load takes of which nothing is known but that there is one.
_MOMENT = 0.01
#: By node: the variants it may use, best first.
Options = dict[str, tuple[Variant, ...]]


@dataclass(frozen=True)
class Asked:
    """What may be chosen, before it is: usable variants with the footprints that hold here, and how bytes are reckoned.

    settings: with what depends on the device decided."""

    settings: Settings
    device: Device
    graph: Graph
    items: tuple[Item, ...]
    options: Mapping[str, tuple[Variant, ...]]
    places: Mapping[str, Place]
    sizing: Sizing
    store: FootprintStore
    mode: Mode
    notes: tuple[str, ...]
    absent: frozenset[str] = frozenset()
    unreadable: Mapping[str, TaskFailed] = field(default_factory=dict)


def options_of(settings: Settings, selection: Selection = EVERYTHING, *, keep_going: bool = False) -> Asked:
    """Look at everything there is to choose from. Raises `UsageError`, `InvalidError` or `TaskFailed` (unreadable input).

    keep_going: input that cannot be read is left out, and told in `unreadable`."""
    notes: list[str] = []
    device = device_of(settings, notes)
    tier, said = decide_residency(settings.tier, device.total_bytes)
    settings, notes = replace(settings, tier=tier), [*notes, *said]
    limit = limit_of(settings, device)
    graph = make_graph(settings, selection)
    unreadable: dict[str, TaskFailed] = {}
    items = _items(settings, unreadable if keep_going else None)
    mode = MODES[settings.options.memory_mode]
    store = FootprintStore(user_folders().footprints, frozen=bool(os.environ.get("HEADROOM_FROZEN")), warn=notes.append)
    how = Availability.of(settings, trusted_packages(selection.trust))
    declared, located = _options(settings, graph, notes, how)
    places = {
        where.name: Place(where.device or device.torch_device, located[variant.name].path)
        for variants in declared.values()
        for variant in variants
        for where in (variant, on_cpu(variant))
    }
    base = settings.device.context if device.memory == "host" else 0
    options, margins = _measured(declared, places, store, device, mode, how.trusted)
    sizing = Sizing(device.memory, limit, base, DECLARED_MARGIN * mode.margin_factor, margins)
    absent = frozenset(each for name, found in located.items() if found.missing for each in (name, f"{name}@cpu"))
    return Asked(
        settings, device, graph, tuple(items), options, places, sizing, store, mode, tuple(notes), absent, unreadable
    )


def _items(settings: Settings, unreadable: dict[str, TaskFailed] | None) -> list[Item]:
    inputs, shared = settings.inputs, dict(settings.inputs.defaults)
    if shared.get("lyrics"):
        shared["lyrics"] = read_lyrics(Path(shared["lyrics"]).expanduser())
    return find_items(inputs.names, inputs.text, shared, settings.pipeline.items, unreadable)


def _options(
    settings: Settings, graph: Graph, notes: list[str], how: Availability
) -> tuple[Options, dict[str, WeightsLocation]]:
    """For each node with a role, the variants it may use, best first: all usable here, or pinned and fetched by the run."""
    options: Options = {}
    located: dict[str, WeightsLocation] = {}
    passed: dict[str, tuple[Variant, str]] = {}
    leaking = known_leaks().variants()
    for name in graph.order:
        spec = graph.node(name)
        if spec.role is None:
            continue
        usable, unusable = [], dict[str, tuple[Variant, str]]()
        for candidate in _candidates(settings, spec.role):
            variant = _for_node(candidate, spec, settings, leaking)
            if spec.role in settings.pinned:
                located[variant.name], note = how.pinned(variant)
                notes += [note] if note and note not in notes else []
                usable.append(variant)
                continue
            located[variant.name], why = how.chosen(variant)
            if why:
                unusable[candidate.name] = (candidate, why)
            else:
                usable.append(variant)
        passed |= unusable
        if not usable:
            raise UsageError(
                f"Node {name}: no variant of {spec.role} can be used here. {' '.join(passed_over(unusable.values()))}"
            )
        options[name] = tuple(usable)
    notes += passed_over(passed.values())
    return options, located


def _candidates(settings: Settings, role: str) -> list[Variant]:
    if role in settings.pinned:
        return [settings.pinned[role]]
    search = settings.source.search
    known = catalog.options(search, f"model/{role}")
    allowed = settings.tier.allow.get(role)
    if allowed is None:
        return sorted((load_variant(search, role, name) for name in known), key=lambda v: (-v.quality, v.name))
    for name in allowed:
        if name not in known:
            raise UsageError(
                f"tier {settings.tier.name} allows an unknown {role} {name!r}. {did_you_mean(name, known)}"
            )
    return [load_variant(search, role, name) for name in allowed]


def _for_node(variant: Variant, node: NodeSpec, settings: Settings, leaking: frozenset[str]) -> Variant:
    """The variant under the tier's knobs, unless the user pinned it, and under its node's own: then it is another model."""
    if variant.role not in settings.pinned:
        tuned = settings.tier.knobs.get(variant.role, {})
        known = {knob: value for knob, value in tuned.items() if knob in variant.knobs}
        variant = replace(variant, knobs={**variant.knobs, **known})
    if node.isolation is not None:
        variant = replace(variant, isolation=node.isolation)
    elif variant.name in leaking:
        variant = replace(variant, isolation="process")
    if (node.device or settings.device.roles.get(variant.role)) == "cpu":
        variant = on_cpu(variant)
    if not node.knobs:
        return variant
    return variant.changed(f"@{node.name}", knobs={**variant.knobs, **node.knobs})


def _measured(
    declared: Options,
    places: Mapping[str, Place],
    store: FootprintStore,
    device: Device,
    mode: Mode,
    trusted: Sequence[str],
) -> tuple[Options, dict[str, float]]:
    """The variants with the footprints that were measured here, where they were, and the margin each has earned."""
    margins: dict[str, float] = {}
    options: Options = {}
    for node, variants in declared.items():
        made = []
        for variant in variants:
            # Weights are read for their digest only where something was measured that could count for them.
            digest = weights_digest(variant, places[variant.name].weights) if store.knows(variant.name) else ""
            found = store.estimate(Key.of(variant, digest, device.footprint_key), variant.footprint_in(device.memory))
            margins[variant.name] = found.margin * mode.margin_factor
            made.append(variant.with_footprint(device.memory, _loaded(variant, found.footprint, trusted)))
        options[node] = tuple(made)
    return options, margins


def _loaded(variant: Variant, footprint: Footprint, trusted: Sequence[str]) -> Footprint:
    """The same, with a moment for its load where there is one: what weighs nothing here must be loaded all the same."""
    nothing = issubclass(node_class(variant.target, trusted), Plain) and not is_isolated(variant)
    if nothing or holds_weights(footprint):
        return footprint
    return replace(footprint, load_seconds=_MOMENT)


def weights_digest(variant: Variant, place: Path | None) -> str:
    """The digest of a variant's weights at `place`, for keys and records."""
    spec = WeightsSpec.of(variant)
    return digest_of(place, spec) if spec else ""


def known_leaks() -> KnownLeaks:
    """The variants that were seen to keep memory after their unload, under the libraries installed now."""
    return KnownLeaks(user_folders().leaks, memory_versions())
