"""What a pipeline and its models are, as frozen data: nodes, variants with footprints, items. Made once, by `pipelines.config`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipelines.schema.hardware import MemoryKind
from pipelines.schema.weights import WeightsSpec

#: The quantities a footprint may be linear in, and where each comes from. `<knob>` is any numeric knob of the variant.
TERMS = {
    "base": "1",
    "per_second": "the item's seconds of audio",
    "per_channel_second": "seconds x channels",
    "per_character": "characters of the item's text",
    "per_batch": "the knob `batch`",
    "per_batch_second": "batch x seconds",
    "per_segment_second": "the knob `segment` (seconds), at most the item's seconds",
    "per_whole_segment_second": "the knob `segment` (seconds), for networks that pad a shorter item to it",
}


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes and seconds of a variant on one kind of device. `workspace` and `seconds` are sums of `TERMS`.

    weights, load_peak: bytes. workspace: bytes per unit of each term. seconds: run seconds per unit of each term.
    context: bytes each library holds once imported or initialised, by library name; counted once per process.
    source: where the figures come from (`measured 2026-11 on ...`, `<project> README`, `estimate`).
    """

    weights: int = 0
    load_peak: int | None = None
    workspace: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    load_seconds: float = 0.0
    reload_seconds: float | None = None
    output: int = 0
    context: Mapping[str, int] = field(default_factory=dict)
    source: str = "estimate"


@dataclass(frozen=True, slots=True)
class Variant:
    """A model with settings: one file of `conf/model/<role>/`, and what was changed of it for a node or by the run.

    origin: `<role>/<file stem>`, the file it comes from. changes: what makes it another model than the file's, in order:
    `@cpu`, `@<node>`, `+<knob>=<value>`. quality: rank within the role, higher is better.
    weights: which files it needs, None where it needs none or its library brings them.
    footprints: by the memory it occupies, `host` or `accelerator`; read them with `footprint_in`.
    device: `cpu` where it is kept off the card, None for the run's own device. isolation: `thread` or `process`.
    requires: modules that must be importable. environment: a pinned package list of its own, where pins conflict.
    needs_consent: its licence must be accepted by the user (`accept_licence=[<file stem>]`) before it is used.
    """

    origin: str
    role: str
    target: str
    quality: float = 0.0
    licence: str = ""
    knobs: Mapping[str, Any] = field(default_factory=dict)
    weights: WeightsSpec | None = None
    footprints: Mapping[MemoryKind, Footprint] = field(default_factory=dict)
    isolation: str = "thread"
    device: str | None = None
    environment: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    about: str = ""
    commercial_use: bool = True
    needs_consent: bool = False
    changes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The model's id in a problem: the origin with its changes, as in `transcribe/small@cpu+batch=4`."""
        return self.origin + "".join(self.changes)

    @property
    def stem(self) -> str:
        """The name of its file: `small` of `transcribe/small@cpu`."""
        return self.origin.rpartition("/")[2]

    def changed(self, change: str, **fields: Any) -> Variant:
        """The same variant with other `fields`: another model, whose name says so."""
        return replace(self, changes=(*self.changes, change), **fields)

    def footprint_in(self, memory: MemoryKind) -> Footprint:
        """What it occupies in that memory: as on an accelerator where nothing else is stated, nothing where that is not stated either."""
        return self.footprints.get(memory) or self.footprints.get("accelerator") or Footprint()

    def with_footprint(self, memory: MemoryKind, footprint: Footprint) -> Variant:
        """The same variant with another footprint in that memory."""
        return replace(self, footprints={**self.footprints, memory: footprint})


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One entry of a pipeline's `nodes:`. Exactly one of `role` (the tier and the user choose a variant) and `target`.

    inputs: input port -> `node.port` or `item.port`. after: nodes that must end first without passing a value.
    stream: takes its first input piece by piece while it is being made, where both nodes can.
    """

    name: str
    role: str | None = None
    target: str | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    knobs: Mapping[str, Any] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    isolation: str | None = None
    device: str | None = None
    footprint: Footprint | None = None
    stream: bool = False


@dataclass(frozen=True, slots=True)
class PipelineSpec:
    """One file of `conf/pipeline/`. items: the ports an item offers, by name (`audio`, `text`), with their port types."""

    name: str
    nodes: tuple[NodeSpec, ...]
    items: Mapping[str, str] = field(default_factory=lambda: {"audio": "audio"})
    about: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One input. seconds, channels: from the file's header. characters: of its text. path: the input file, where there is one.

    settings: by name, open by design: a table's columns become settings, and a node looks up those that it knows.
    """

    name: str
    path: str | None = None
    seconds: float = 0.0
    channels: int = 1
    characters: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)


def on_cpu(variant: Variant) -> Variant:
    """The same variant kept off the card: no bytes there, the CPU's seconds."""
    off_card = replace(variant.footprint_in("host"), weights=0, load_peak=None, workspace={}, output=0, context={})
    return variant.with_footprint("accelerator", off_card).changed("@cpu", device="cpu")


def evaluate(terms: Mapping[str, float], item: Item, knobs: Mapping[str, Any]) -> float:
    """The sum of a footprint's terms for one item under a variant's knobs.

    >>> evaluate({"base": 3.0, "per_segment_second": 2.0}, Item("a", seconds=60), {"segment": 7.8})
    18.6
    """
    batch = float(knobs.get("batch") or 1)
    quantity = {
        "base": 1.0,
        "per_second": item.seconds,
        "per_channel_second": item.seconds * item.channels,
        "per_character": float(item.characters),
        "per_batch": batch,
        "per_batch_second": batch * item.seconds,
        "per_segment_second": min(float(knobs.get("segment") or item.seconds), item.seconds or float("inf")),
        "per_whole_segment_second": float(knobs.get("segment") or item.seconds),
    }
    return sum(value * quantity[name] for name, value in terms.items())
