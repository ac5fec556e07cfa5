"""From settings to a job that can be shown, explained or run: device, graph, items, variants, problem, plan."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from pipelines.cli import catalog
from pipelines.cli.available import Availability, passed_over
from pipelines.cli.choose import choose, passed_by, planner_of
from pipelines.cli.settings import Settings, load_variant
from pipelines.cli.streams import chains_of, streamed, streaming_of
from pipelines.cli.tier import settled, simulated_card
from pipelines.graph.build import Graph, Ports, build
from pipelines.graph.chains import Chain
from pipelines.graph.expand import Sizing, holds_weights, is_isolated, nodes_between
from pipelines.run import detect as detection
from pipelines.run.devices.choose import open_device
from pipelines.run.devices.protocol import Device
from pipelines.run.enforce import LeakBook, worker_limit
from pipelines.run.environments import built_python
from pipelines.run.fit import DECLARED_MARGIN
from pipelines.run.footprints import FootprintStore, Key, device_key, library_versions, store_path
from pipelines.run.inputs import find_items
from pipelines.run.job import Job, remaining
from pipelines.run.ladder import MODES, Mode
from pipelines.run.resolve import make_node, node_class, ports_of, trusted_packages
from pipelines.run.weights import Located, Need, digest_of
from pipelines.run.worker import Isolated
from pipelines.schema.config import Footprint, Item, NodeSpec, Variant, on_cpu
from pipelines.schema.errors import TaskFailed, UsageError, did_you_mean
from pipelines.schema.node import Node, Place, Plain
from pipelines.schema.plan import Plan
from pipelines.schema.problem import Problem
from pipelines.schema.roles import ROLES
from pipelines.schema.units import format_bytes

#: Seconds a load takes of which nothing is known but that there is one.
_MOMENT = 0.01
#: Settings every item starts from; a table's row may say otherwise.
ITEM_SETTINGS = (
    "lyrics",
    "language",
    "voice",
    "voice_text",
    "artist",
    "title",
    "year",
    "genre",
    "translations",
    "dub_language",
    "accept_licence",
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which part of a pipeline is wanted, and what a config may name. From flags, never from YAML."""

    only: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    trust: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """Everything decided before anything is loaded. `notes` are lines a person should see."""

    settings: Settings
    device: Device
    graph: Graph
    items: tuple[Item, ...]
    choice: Mapping[str, Variant]
    problem: Problem
    sizing: Sizing
    notes: tuple[str, ...]
    places: Mapping[str, Place]
    nodes: Mapping[str, Node]
    store: FootprintStore
    leaks: LeakBook
    mode: Mode
    options: Mapping[str, tuple[Variant, ...]]
    selection: Selection
    #: Chosen variants whose weights or environment must be fetched before the run; only what the user pinned is ever here.
    absent: tuple[Variant, ...] = ()
    #: What was named and cannot be read, by the name it would have had as an item; nothing unless the run keeps going.
    unreadable: Mapping[str, TaskFailed] = field(default_factory=dict)
    #: Nodes that hand their sound on, and the problem without any of them joined to one task.
    chains: tuple[Chain, ...] = ()
    apart: Problem | None = None

    @property
    def device_key(self) -> str:
        """What measured footprints are kept under."""
        return device_key(self.device.kind, self.device.name)

    def plan(self, problem: Problem | None = None) -> Plan:
        """The plan of `problem` (this run's own unless given) under the tier's residency policy. Raises `DoesNotFit`."""
        return planner_of(self.settings.tier)(problem or self.problem)

    def job(self, plan: Plan, *, keep_going: bool = False) -> Job:
        """The job for the engine; nothing is loaded yet."""
        return Job(
            graph=self.graph,
            items={item.name: item for item in self.items},
            choice=self.choice,
            nodes=self.nodes,
            places=self.places,
            problem=self.problem,
            plan=plan,
            seed=self.problem.seed,
            keep_going=keep_going,
            digests=self.digests(self.choice.values(), self.places),
            streaming=streaming_of(self.settings),
        )

    def left(self, done: set[str]) -> Problem:
        """The problem without the tasks in `done`; chains of which none is done are one task each, as in `problem`."""
        return streamed(remaining(self.apart or self.problem, done), self.chains, self.settings.tier)

    def digests(self, variants: Iterable[Variant], places: Mapping[str, Place]) -> dict[str, str]:
        """What each variant's weights are, by its name; `""` where its library brings them or it has none."""
        return {variant.name: weights_digest(variant, places[variant.name].weights) for variant in variants}


def weights_digest(variant: Variant, place: Path | None) -> str:
    """The digest of a variant's weights at `place`, for keys and records."""
    need = Need.of(variant)
    return digest_of(place, need) if need else ""


def make_nodes(graph: Graph, choice: Mapping[str, Variant], device: Device, selection: Selection) -> dict[str, Node]:
    """A node object for every node of the graph; those that ask for it in a process of their own."""
    trusted = trusted_packages(selection.trust)
    return {name: _node_object(graph.node(name), choice.get(name), device, trusted) for name in graph.order}


def _node_object(spec: NodeSpec, variant: Variant | None, device: Device, trusted: Sequence[str]) -> Node:
    target = variant.target if variant else spec.target
    knobs = variant.knobs if variant else spec.knobs
    assert target is not None
    node = make_node(target, knobs, trusted)
    if not (is_isolated(variant) if variant else spec.isolation == "process"):
        return node
    own = built_python(variant.environment) if variant and variant.environment else None
    isolated = Isolated(
        node, target, knobs, variant.name if variant else spec.name, python=own or sys.executable, trusted=trusted,
        limit=lambda: worker_limit(device), started=device.adopt,
    )  # fmt: skip
    return cast("Node", isolated)  # a node in all but that its ports are not class attributes


@dataclass(frozen=True)
class Asked:
    """What may be chosen, before it is: usable variants with the footprints that hold here, and how bytes are reckoned.

    settings: with what depends on the device settled."""

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


def options_of(settings: Settings, selection: Selection = Selection(), *, keep_going: bool = False) -> Asked:
    """Look at everything there is to choose from. Raises `UsageError`, `InvalidError` or `TaskFailed` (unreadable input).

    keep_going: input that cannot be read is left out, and told in `unreadable`."""
    notes: list[str] = []
    device = device_of(settings, notes)
    settings = replace(settings, tier=settled(settings.tier, device.total_bytes, notes))
    limit = limit_of(settings, device)
    graph = make_graph(settings, selection)
    unreadable: dict[str, TaskFailed] = {}
    items = _items(settings, unreadable if keep_going else None)
    mode = _mode(settings)
    store = FootprintStore(store_path(), frozen=bool(os.environ.get("HEADROOM_FROZEN")), warn=notes.append)
    how = Availability.of(settings.values, settings.composed, trusted_packages(selection.trust))
    declared, located = _options(settings, graph, notes, how)
    places = {
        where.name: Place(where.device or device.torch_device, located[variant.name].path)
        for variants in declared.values()
        for variant in variants
        for where in (variant, on_cpu(variant))
    }
    kind = "cpu" if device.kind == "cpu" else "cuda"
    base = settings.device.context if device.kind == "cpu" else 0
    key = device_key(device.kind, device.name)
    options, margins = _measured(declared, places, store, (key, kind), mode, how.trusted)
    sizing = Sizing(kind, limit, base, DECLARED_MARGIN * mode.margin_factor, margins)
    absent = frozenset(each for name, found in located.items() if found.missing for each in (name, f"{name}@cpu"))
    return Asked(
        settings, device, graph, tuple(items), options, places, sizing, store, mode, tuple(notes), absent, unreadable
    )


def prepare(settings: Settings, selection: Selection = Selection(), *, keep_going: bool = False) -> Prepared:
    """Decide everything. Raises as `options_of` does, and `DoesNotFit`."""
    asked = options_of(settings, selection, keep_going=keep_going)
    settings, notes = asked.settings, list(asked.notes)
    options, found = choose(asked, notes)
    choice = {node: next(v for v in variants if v.name == found.variants[node]) for node, variants in options.items()}
    notes += passed_by(choice, options, asked.sizing.limit_bytes)
    nodes = make_nodes(asked.graph, choice, asked.device, selection)
    chains = chains_of(settings, asked.graph, nodes, notes)
    return Prepared(
        settings=settings, device=asked.device, graph=asked.graph, items=asked.items, choice=choice,
        problem=streamed(found.problem, chains, settings.tier, notes), chains=chains, apart=found.problem,
        sizing=asked.sizing, notes=tuple(notes), places=asked.places, nodes=nodes, store=asked.store, leaks=leak_book(), mode=asked.mode,
        options=options, selection=selection, unreadable=asked.unreadable,
        absent=tuple({v.name: v for v in choice.values() if v.name in asked.absent}.values()),
    )  # fmt: skip


def _mode(settings: Settings) -> Mode:
    name = str(settings.values.get("memory_mode"))
    if name not in MODES:
        raise UsageError(f"memory_mode={name} is not a mode. {did_you_mean(name, MODES)}")
    return MODES[name]


def _measured(
    declared: Options,
    places: Mapping[str, Place],
    store: FootprintStore,
    device: tuple[str, str],
    mode: Mode,
    trusted: Sequence[str],
) -> tuple[Options, dict[str, float]]:
    """The variants with the footprints that were measured here, where they were, and the margin each has earned."""
    key, kind = device
    margins: dict[str, float] = {}
    options: Options = {}
    for node, variants in declared.items():
        made = []
        for variant in variants:
            footprint = variant.footprints.get(kind) or variant.footprints.get("cuda") or Footprint()
            # Weights are read for their digest only where something was measured that could count for them.
            digest = weights_digest(variant, places[variant.name].weights) if store.knows(variant.name) else ""
            found = store.estimate(Key.of(variant, digest, key), footprint)
            margins[variant.name] = found.margin * mode.margin_factor
            made.append(
                replace(variant, footprints={**variant.footprints, kind: _loaded(variant, found.footprint, trusted)})
            )
        options[node] = tuple(made)
    return options, margins


def _loaded(variant: Variant, footprint: Footprint, trusted: Sequence[str]) -> Footprint:
    """The same, with a moment for its load where there is one: what weighs nothing here must be loaded all the same."""
    nothing = issubclass(node_class(variant.target, trusted), Plain) and not is_isolated(variant)
    if nothing or holds_weights(footprint):
        return footprint
    return replace(footprint, load_seconds=_MOMENT)


def make_graph(settings: Settings, selection: Selection = Selection()) -> Graph:
    """The checked graph of the pipeline, cut to the selection."""
    trusted = trusted_packages(selection.trust)
    pipeline = settings.pipeline
    nodes = tuple(_with_own_footprint(node, trusted) for node in pipeline.nodes)
    pipeline = replace(pipeline, nodes=nodes)
    ports = {node.name: _ports(node, trusted) for node in pipeline.nodes}
    graph = build(pipeline, ports, f"pipeline {pipeline.name}")
    for name in (*selection.only, *selection.first, *selection.last):
        if name not in graph.order:
            raise UsageError(
                f"There is no node {name!r} in pipeline {pipeline.name}. {did_you_mean(name, graph.order)}"
            )
    if selection.only:
        return graph.only(set(selection.only))
    if selection.first or selection.last:
        return graph.only(nodes_between(graph, first=selection.first, last=selection.last))
    return graph


def _ports(node: NodeSpec, trusted: Sequence[str]) -> Ports:
    if node.role is not None:
        role = ROLES[node.role]
        return Ports(role.inputs, role.outputs)
    assert node.target is not None
    return ports_of(node.target, trusted)


def _with_own_footprint(node: NodeSpec, trusted: Sequence[str]) -> NodeSpec:
    if node.target is None or node.footprint is not None:
        return node
    return replace(node, footprint=getattr(node_class(node.target, trusted), "footprint", None))


def device_of(settings: Settings, notes: list[str]) -> Device:
    """The device that `device=` names. What a person should know of the choice is added to `notes`."""
    device = _named_device(settings, notes)
    if settings.tier.streams > 0 or device.kind == "cpu":
        return device
    notes.append("tier.streams=0: everything runs on the CPU, and the tier's limit applies to its RAM.")
    return open_device("cpu")


def _named_device(settings: Settings, notes: list[str]) -> Device:
    spec = settings.device
    if spec.kind == "simulated":
        card = simulated_card(
            {"total": spec.total, "name": spec.name, "cards_only": spec.cards_only}, settings.composed.search
        )
        name = f"{card.name} of {format_bytes(card.total_bytes)}" + (" (simulated)" if spec.name else "")
        return open_device("simulated", total=card.total_bytes, name=name)
    kind = _found(notes) if spec.kind == "auto" else f"cuda:{spec.index}" if spec.kind == "cuda" else spec.kind
    device = open_device(kind, total=None if spec.cards_only else spec.total, name=spec.name)
    if spec.cards_only and device.kind == "cpu":
        notes.append(
            "MAX_CUDA_VRAM has no effect: it bounds a card, and this runs on the CPU. tier.limit= bounds its RAM."
        )
        return device
    return open_device(kind, total=spec.total, name=spec.name) if spec.cards_only else device


def _found(notes: list[str]) -> str:
    """What `device=auto` stands for: the card that detection chose, whose tier `tier=auto` is, or the CPU."""
    found = detection.detect()
    if found.card is not None:
        return f"cuda:{found.card.index}"
    notes += found.notes
    notes.append("device=auto found no CUDA device: this runs on the CPU, and the tier's limit applies to its RAM.")
    return "cpu"


def limit_of(settings: Settings, device: Device) -> int | None:
    """The bytes in force: the smaller of the tier's and the device's. `UsageError` for an explicit one above the device's."""
    wanted = settings.tier.limit_bytes
    if wanted is None:
        return device.total_bytes
    if wanted > device.total_bytes and settings.explicit_limit:
        raise UsageError(
            f"tier.limit={format_bytes(wanted)} (or VRPG_XTTS_GPU_VRAM_LIMIT_MB) is more than {device.name} has "
            f"({format_bytes(device.total_bytes)}). Ask for less, or leave it away to use what there is."
        )
    return min(wanted, device.total_bytes)


def _items(settings: Settings, unreadable: dict[str, TaskFailed] | None) -> list[Item]:
    values = settings.values
    shared = {key: values.get(key) for key in ITEM_SETTINGS if values.get(key) not in (None, [])}
    if shared.get("lyrics"):
        shared["lyrics"] = _lyrics(str(shared["lyrics"]))
    return find_items(values.get("input"), values.get("text"), shared, settings.pipeline.items, unreadable)


def _lyrics(name: str) -> str:
    """The words in the file `lyrics=` names."""
    path = Path(name).expanduser()
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise TaskFailed(f"lyrics={name} cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise TaskFailed(f"lyrics={name} is not UTF-8 text.") from None


Options = dict[str, tuple[Variant, ...]]


def _options(
    settings: Settings, graph: Graph, notes: list[str], how: Availability
) -> tuple[Options, dict[str, Located]]:
    """For each node with a role, the variants it may use, best first: all usable here, or pinned and fetched by the run."""
    options: Options = {}
    located: dict[str, Located] = {}
    passed: dict[str, tuple[Variant, str]] = {}
    leaking = leak_book().leaking()
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
    search = settings.composed.search
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


def leak_book() -> LeakBook:
    """The variants that were seen to keep memory after their unload, under the libraries installed now."""
    return LeakBook(store_path().with_name("leaks.json"), library_versions())


def _for_node(variant: Variant, node: NodeSpec, settings: Settings, leaking: frozenset[str]) -> Variant:
    """The variant under the tier's knobs, unless the user pinned it, and under its node's own: then it is another model."""
    if variant.role not in settings.pinned:
        tuned = settings.tier.settings.get("knobs", {}) or {}
        known = {knob: value for knob, value in (tuned.get(variant.role) or {}).items() if knob in variant.knobs}
        variant = replace(variant, knobs={**variant.knobs, **known})
    if node.isolation is not None:
        variant = replace(variant, isolation=node.isolation)
    elif variant.name in leaking:
        variant = replace(variant, isolation="process")
    if (node.device or settings.device.roles.get(variant.role)) == "cpu":
        variant = on_cpu(variant)
    if not node.knobs:
        return variant
    return replace(variant, name=f"{variant.name}@{node.name}", knobs={**variant.knobs, **node.knobs})
