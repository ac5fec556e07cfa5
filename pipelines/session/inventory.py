"""All facts that a plan depends on, gathered once: settings, device, graph, items, variants and what is here of them.

`take_inventory` asks disk, driver and footprint store; its answer is frozen. What may be chosen (`candidates`) and what is
chosen (`choice`) are functions of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipelines.config import catalog
from pipelines.config.auto import decide_residency
from pipelines.config.variants import load_variant
from pipelines.devices.leaks import KnownLeaks
from pipelines.devices.protocol import Device
from pipelines.footprints.store import FootprintStore, Observations
from pipelines.graph.build import Graph
from pipelines.inputs.items import FoundItems, find_items
from pipelines.inputs.lyrics import read_lyrics
from pipelines.libraries import memory_versions
from pipelines.node_classes import check_role, node_class, trusted_packages
from pipelines.paths import user_folders
from pipelines.run.ladder import MODES, Mode
from pipelines.schema.config import Item, Variant
from pipelines.schema.errors import TaskFailed, UsageError, did_you_mean
from pipelines.schema.hardware import MemoryKind
from pipelines.schema.node import Plain
from pipelines.schema.roles import ROLES
from pipelines.schema.settings import Settings
from pipelines.session.availability import Availability, WeightsPolicy, look_up
from pipelines.session.device import limit_of
from pipelines.session.pipeline_part import EVERYTHING, Selection, make_graph
from pipelines.stream.chain_nodes import can_continue_chain, can_start_chain
from pipelines.weights import digest_of


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """The device as planning sees it. memory: whose footprints apply. footprint_key: what measured ones are kept under."""

    kind: str
    name: str
    total_bytes: int
    torch_device: str
    memory: MemoryKind
    footprint_key: str

    @staticmethod
    def of(device: Device) -> DeviceFacts:
        """What a device says of itself now."""
        return DeviceFacts(
            device.kind, device.name, device.total_bytes, device.torch_device, device.memory, device.footprint_key
        )


@dataclass(frozen=True, slots=True)
class NodeTraits:
    """What a node class can do. plain: it holds no weights. can_start_chain, can_continue_chain: its part in a chain that streams."""

    plain: bool
    can_start_chain: bool
    can_continue_chain: bool

    @staticmethod
    def of(target: str, trusted: Sequence[str]) -> NodeTraits:
        """Of the class that `target` names. Raises `UsageError` where there is none, or it may not be named."""
        kind = node_class(target, trusted)
        return NodeTraits(issubclass(kind, Plain), can_start_chain(kind), can_continue_chain(kind))


@dataclass(frozen=True)
class Inventory:
    """Everything a choice depends on, as it was when it was looked at.

    Attributes
    ----------
    settings : with what depends on the device decided (the tier's residency).
    limit_bytes : bytes in force, the smaller of the tier's and the device's; None for all there is.
    items : what is worked on. `unreadable` holds, by the name it would have had, input that cannot be read.
    variants : by role of the graph, those the tier allows, in its order (by quality where it allows all), or the one the user named.
    found : by a variant's origin, what of it is here.
    digests : by origin, SHA-256 of the weights, where something was measured that could count for them.
    traits : by target, what the classes of the graph's nodes and of usable variants can do.
    observations : every footprint that was measured on this machine; `frozen`: and none is added by this run.
    leaking : variants that were seen to keep memory after their unload, under the installed libraries (`versions`).
    mode : how the ladder and the margins behave (`memory_mode`).
    trusted : packages whose classes the config may name.
    notes : lines a person should see.
    """

    settings: Settings
    device: DeviceFacts
    limit_bytes: int | None
    graph: Graph
    items: tuple[Item, ...]
    variants: Mapping[str, tuple[Variant, ...]]
    found: Mapping[str, Availability]
    mode: Mode
    traits: Mapping[str, NodeTraits] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    observations: Observations = field(default_factory=Observations)
    frozen: bool = False
    versions: str = ""
    leaking: frozenset[str] = frozenset()
    unreadable: Mapping[str, TaskFailed] = field(default_factory=dict)
    trusted: tuple[str, ...] = ("nodes",)
    notes: tuple[str, ...] = ()


def take_inventory(
    settings: Settings,
    device: Device,
    selection: Selection = EVERYTHING,
    *,
    keep_going: bool = False,
    frozen: bool = False,
) -> Inventory:
    """Look at everything there is to choose from. keep_going: input that cannot be read goes into `unreadable`.

    Raises `UsageError`, `InvalidError`, or `TaskFailed` for unreadable input.
    """
    tier, notes = decide_residency(settings.tier, device.total_bytes)
    settings = replace(settings, tier=tier)
    limit = limit_of(settings, device)
    graph = make_graph(settings, selection)
    found_items = _items(settings, keep_going=keep_going)
    terms = WeightsPolicy.of(settings, trusted_packages(selection.trust))
    variants = {role: _variants(settings, role) for role in _roles(graph)}
    known = {variant.origin: variant for each in variants.values() for variant in each}
    found = {origin: look_up(variant, terms) for origin, variant in known.items()}
    observations, warnings = _observations(frozen)
    return Inventory(
        settings=settings,
        device=DeviceFacts.of(device),
        limit_bytes=limit,
        graph=graph,
        items=found_items.items,
        unreadable=found_items.unreadable,
        variants=variants,
        found=found,
        mode=MODES[settings.options.memory_mode],
        traits=_traits(graph, known, found, settings, terms.trusted),
        digests=_digests(known, found, observations),
        observations=observations,
        frozen=frozen,
        versions=memory_versions(),
        leaking=known_leaks().variants(),
        trusted=terms.trusted,
        notes=(*notes, *warnings),
    )


def known_leaks() -> KnownLeaks:
    """The variants that were seen to keep memory after their unload, under the libraries installed now."""
    return KnownLeaks(user_folders().leaks, memory_versions())


def weights_digest(variant: Variant, path: Path | None) -> str:
    """SHA-256 of a variant's weights at `path`; `""` where its library brings them or it has none."""
    return digest_of(path, variant.weights) if variant.weights else ""


def _items(settings: Settings, *, keep_going: bool) -> FoundItems:
    inputs, shared = settings.inputs, dict(settings.inputs.defaults)
    if shared.get("lyrics"):
        shared["lyrics"] = read_lyrics(Path(shared["lyrics"]).expanduser())
    return find_items(inputs.names, inputs.text, shared, settings.pipeline.items, keep_going=keep_going)


def _roles(graph: Graph) -> list[str]:
    return list(dict.fromkeys(role for name in graph.order if (role := graph.node(name).role) is not None))


def _variants(settings: Settings, role: str) -> tuple[Variant, ...]:
    if role in settings.pinned:
        return (settings.pinned[role],)
    search = settings.source.search
    known = catalog.options(search, f"model/{role}")
    allowed = settings.tier.allow.get(role)
    if allowed is None:
        every = (load_variant(search, role, name) for name in known)
        return tuple(sorted(every, key=lambda variant: (-variant.quality, variant.name)))
    for name in allowed:
        if name not in known:
            raise UsageError(
                f"tier {settings.tier.name} allows an unknown {role} {name!r}. {did_you_mean(name, known)}"
            )
    return tuple(load_variant(search, role, name) for name in allowed)


def _traits(
    graph: Graph,
    known: Mapping[str, Variant],
    found: Mapping[str, Availability],
    settings: Settings,
    trusted: Sequence[str],
) -> dict[str, NodeTraits]:
    """By target, of nodes without a role, and of variants that may be chosen: no other class is imported.

    Raises `UsageError` for a class that cannot be used, or whose ports are not its role's.
    """
    own = [target for name in graph.order if (target := graph.node(name).target) is not None]
    usable = [v for origin, v in known.items() if v.role in settings.pinned or found[origin].usable]
    for variant in usable:
        check_role(variant.name, variant.target, ROLES[variant.role], trusted)
    return {target: NodeTraits.of(target, trusted) for target in (*own, *(variant.target for variant in usable))}


def _observations(frozen: bool) -> tuple[Observations, tuple[str, ...]]:
    warnings: list[str] = []
    store = FootprintStore(user_folders().footprints, frozen=frozen, warn=warnings.append)
    return store.read(), tuple(warnings)


def _digests(
    known: Mapping[str, Variant], found: Mapping[str, Availability], observations: Observations
) -> dict[str, str]:
    """Weights are read for their digest only where something was measured that could count for them."""
    measured = observations.variants()
    return {
        origin: weights_digest(variant, found[origin].weights.path)
        for origin, variant in known.items()
        if _was_measured(origin, measured)
    }


def _was_measured(origin: str, names: Iterable[str]) -> bool:
    changed = (f"{origin}@", f"{origin}+")
    return any(name == origin or name.startswith(changed) for name in names)
