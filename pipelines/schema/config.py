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
    """Bytes and seconds of a variant in one kind of memory.

    Attributes
    ----------
    weights : bytes that stay while the model is loaded.
    load_peak : bytes at the highest moment of its loading; None for no more than `weights`.
    workspace : term of `TERMS` -> bytes for each unit of it; a run takes their sum.
    seconds : term of `TERMS` -> seconds of a run for each unit of it.
    load_seconds, reload_seconds : seconds of the first load and of each later one; None for the same.
    output : bytes of its result that stay on the device.
    context : library -> bytes that it holds once it is imported or initialised; counted once for each process.
    source : where the figures come from (`measured 2026-11 on ...`, `<project> README`, `estimate`).
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

    Attributes
    ----------
    origin : `<role>/<file stem>`, the file it comes from.
    role : the role it can fill, a name of `pipelines.schema.roles.ROLES`.
    target : its node class, as in `nodes.separate.demucs.Demucs`.
    quality : rank within the role, higher is better.
    licence : of its weights, as text.
    commercial_use : whether the licence allows it.
    needs_consent : the user must accept the licence (`accept_licence=[<file stem>]`) before it is used.
    knobs : parameters of its class; open by design, because each class has its own.
    weights : which files it needs; None where it needs none or its library brings them.
    footprints : by the memory it occupies, `host` or `accelerator`; read them with `footprint_in`.
    isolation : `thread`, in this process, or `process`, in one of its own.
    device : `cpu` where it is kept off the accelerator; None for the run's own device.
    environment : a pinned package list of its own, where pins conflict with ours.
    requires : modules that must be importable.
    about : a line for people.
    changes : what makes it another model than the file's, in order: `@cpu`, `@<node>`, `+<knob>=<value>`.
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

    Attributes
    ----------
    name : its name in the pipeline.
    role : what it does; a variant is chosen for it.
    target : the node class itself, where there is nothing to choose.
    inputs : input port -> `node.port` or `item.port`.
    knobs : parameters of its class, over those of the variant; open by design.
    after : nodes that must end first without passing a value.
    isolation, device : as a variant's, and outrank them; None for the variant's own.
    footprint : of a node with a `target`; None for that of its class.
    stream : takes its first input piece by piece while it is being made, where both nodes can.
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
    """One file of `conf/pipeline/`.

    Attributes
    ----------
    name : the file's name.
    nodes : its nodes, in the file's order.
    items : name of a port that an item offers (`audio`, `text`) -> its port type.
    about : a line for `headroom list pipelines`.
    """

    name: str
    nodes: tuple[NodeSpec, ...]
    items: Mapping[str, str] = field(default_factory=lambda: {"audio": "audio"})
    about: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One input.

    Attributes
    ----------
    name : unique in a run, and safe as the name of a folder.
    path : the input file; None where there is none.
    seconds, channels : of its sound, from the file's header.
    characters : of its text.
    settings : by name. Open by design: a table's columns become settings, and a node looks up those that it knows.
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
