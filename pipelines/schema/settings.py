"""What a run is to do, as frozen data: tier, device, options and inputs. Made once, by `pipelines.config`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from pipelines.schema.config import PipelineSpec, Variant

#: When models are loaded and let go. `auto` is decided by the device's size before anything is planned.
ResidencyPolicy = Literal["planned", "sequential", "normal", "auto"]
#: How wide the margins are and how far a run may go when memory is short.
MemoryMode = Literal["conservative", "balanced", "aggressive"]
#: What happens to a parameter above its limit.
Excess = Literal["clamp", "refuse"]
RESIDENCIES: tuple[ResidencyPolicy, ...] = get_args(ResidencyPolicy)
MEMORY_MODES: tuple[MemoryMode, ...] = get_args(MemoryMode)
EXCESSES: tuple[Excess, ...] = get_args(Excess)


@dataclass(frozen=True, slots=True)
class MusicTier:
    """What a request for music may ask for on a tier. None leaves a value to the limit in force. Read by nothing yet.

    Attributes
    ----------
    duration, duration_with_lm : most seconds, without and with the language model.
    batch : most samples made at once.
    lm : sizes of the language model that are allowed, largest first.
    lm_default : whether the language model is used where the request does not say.
    offload, offload_dit : whether weights, and those of the diffusion transformer, wait in host memory.
    """

    duration: float | None = None
    duration_with_lm: float | None = None
    batch: int | None = None
    lm: tuple[str, ...] | None = None
    lm_default: bool | None = None
    offload: bool | None = None
    offload_dit: bool | None = None


@dataclass(frozen=True, slots=True)
class Tier:
    """What a device may use: one file of `conf/tier/`, as the profile, the environment and the command line changed it.

    Attributes
    ----------
    name : the file's name.
    limit_bytes : device bytes that may be used; None for all of the device.
    streams : tasks that may run at once; 0 for everything on the CPU.
    allow : role -> names of the variants that may be chosen; a role that is absent allows all. A plan prefers the higher
        `quality`, then the faster; the list's order decides what is left equal, and which the ladder takes next.
    residency : when models are loaded and let go.
    cpu_fallback : roles that are planned on the CPU where nothing fits the card, and that the ladder may move there. None:
        no plan moves any, the ladder may move all.
    allocator : settings of torch's allocator by name.
    knobs : role -> knob -> value, for the variants that have the knob. Knobs are open by design: they are whatever
        parameters a node class has.
    prebuffer, prebuffer_range : seconds of sound to have before playback begins.
    utilisation, utilisation_range : the part of the time that a streaming run computes, from 0 to 1.
    yield_seconds : least seconds of rest between two pieces of a stream.
    first_audio : latest seconds until the first sound of a stream.
    real_time_factor : seconds of work that a second of sound is expected to take, at most.
    offload, tiled_decode, on_excess, music : read by nothing yet; the nodes for music will.
    about : a line for `headroom list tiers`.
    """

    name: str
    limit_bytes: int | None = None
    streams: int = 1
    allow: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    residency: ResidencyPolicy = "planned"
    cpu_fallback: tuple[str, ...] | None = None
    allocator: Mapping[str, str | int | float] = field(default_factory=dict)
    knobs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    prebuffer: float = 1.25
    prebuffer_range: tuple[float, float] = (1.0, 1.5)
    utilisation: float = 0.5
    utilisation_range: tuple[float, float] = (0.4, 0.6)
    yield_seconds: float = 0.0
    first_audio: float = 5.0
    real_time_factor: float = 1.0
    offload: bool = False
    tiled_decode: bool = False
    on_excess: Excess = "clamp"
    music: MusicTier = field(default_factory=MusicTier)
    about: str = ""


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """The config group `device`.

    Attributes
    ----------
    kind : `auto`, or a kind of `pipelines.devices.registry` (`cpu`, `cuda`, `simulated`).
    index : the number of the device among those of its kind.
    total : bytes of a simulated card, or a smaller size to keep to.
    name : a card's name in `conf/cards.yaml`, for a simulated one.
    context : bytes of this process before any node's library is imported.
    roles : role -> the device that it is kept on.
    cards_only : `total` bounds cards and means nothing to the CPU (the variable MAX_CUDA_VRAM).
    """

    kind: str = "auto"
    index: int = 0
    total: int | None = None
    name: str | None = None
    context: int = 0
    roles: Mapping[str, str] = field(default_factory=dict)
    cards_only: bool = False


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """The setting `stream`.

    Attributes
    ----------
    use : nodes that can pass their sound on while it is being made.
    pace : rest between pieces, as if somebody listened.
    """

    use: bool = True
    pace: bool = False


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run is done, whatever its pipeline: plain settings of `conf/base.yaml`.

    Attributes
    ----------
    seed : of every random choice, from 0.
    memory_mode : how wide the margins are and how far a run may go when memory is short.
    stream : whether and how nodes stream.
    offline : fetch nothing.
    weights_dir : the folder of local checkpoints; None for the user's data folder.
    accept_licence : variants (`xtts` or `speak/xtts`) whose licence the user accepts.
    memory_plot : draw memory over time at the end of a run.
    outputs_dir : where runs are recorded.
    """

    seed: int = 0
    memory_mode: MemoryMode = "balanced"
    stream: StreamOptions = field(default_factory=StreamOptions)
    offline: bool = False
    weights_dir: str | None = None
    accept_licence: tuple[str, ...] = ()
    memory_plot: bool = True
    outputs_dir: str = "outputs"


@dataclass(frozen=True, slots=True)
class InputOptions:
    """What goes in.

    Attributes
    ----------
    names : the value of `input=`: files, globs, folders or tables; None where it is not given.
    text : the value of `text=`.
    defaults : what every item's settings begin with: those of `config.options.ITEM_SETTINGS` that were given (lyrics,
        language, voice, ...). Open by design, as `Item.settings` is: a table's columns may set any name, and a node looks
        up those that it knows.
    """

    names: str | Sequence[str] | None = None
    text: str | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConfigSource:
    """Where the settings came from.

    Attributes
    ----------
    search : config folders; where two have a file of the same name, the first counts.
    named : those of them that the command line itself names: the shipped tree and `-cd`. Only their files may say which
        packages to install.
    overrides : `KEY=VALUE`, as given on the command line and by variables.
    """

    search: tuple[Path, ...] = ()
    named: tuple[Path, ...] = ()
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole config of a run, checked.

    Attributes
    ----------
    pipeline, tier, device : the chosen files of these groups.
    pinned : role -> the variant that the user named.
    options : how the run is done.
    inputs : what goes in.
    explicit_limit : the limit was given on the command line or by a variable, so it may not be above the device's.
    source : the folders and overrides that the config was made of.
    resolved : the composed config as plain data. Only for the record of a run: nothing is decided by it.
    """

    pipeline: PipelineSpec
    tier: Tier
    device: DeviceSpec
    pinned: Mapping[str, Variant]
    options: RunOptions
    inputs: InputOptions
    explicit_limit: bool
    source: ConfigSource
    resolved: Mapping[str, Any]
