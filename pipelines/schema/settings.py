"""What a run is told, as frozen data: the tier, the device, the options of a run, the inputs. Made once, by `pipelines.config`."""

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
    """What a request for music may ask for on a tier; None leaves it to the limit in force. Read by nothing yet.

    duration, duration_with_lm: seconds, without and with the language model. batch: samples made at once. lm: sizes of the
    language model allowed. lm_default: whether it is used where nobody says. offload, offload_dit: whether weights, and
    those of the diffusion transformer, wait in host memory.
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
    """What a device may use: one file of `conf/tier/`, after the profile, environment and command line had their say.

    limit_bytes: device bytes that may be used, None for all of the device. streams: tasks that may run at once, 0 for
    everything on the CPU. allow: role -> names of the variants that may be chosen, best first; a role that is absent allows all.
    residency: when models are loaded and let go. cpu_fallback: roles that may be moved to the CPU, None for any role.
    allocator: settings of torch's allocator by name. knobs: role -> knob -> value, for variants that have the knob; open,
    because knobs are whatever parameters a node class has.

    For streaming: prebuffer and prebuffer_range are seconds of sound, utilisation and utilisation_range parts of one,
    yield_seconds the least rest between pieces, first_audio the latest seconds to the first sound, real_time_factor the
    seconds of work that a second of sound may take.

    Read by nothing yet: offload (weights wait in host memory), tiled_decode, on_excess, music.
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
    """The `device` group. kind: auto | cpu | cuda | simulated. index: of the card among CUDA's.

    total: bytes of a simulated card, or a smaller size to keep to. cards_only: `total` is about cards (MAX_CUDA_VRAM) and
    nothing to the CPU. name: of a known card. context: bytes of this process before any node's library. roles: role -> device.
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
    """The setting `stream`. use: nodes that can hand their sound on while it is made. pace: rest between pieces, as for a listener."""

    use: bool = True
    pace: bool = False


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run is done, whatever its pipeline: plain settings of `conf/base.yaml`, whose comments say what each does.

    weights_dir: None for the user's data folder. accept_licence: variants (`xtts` or `speak/xtts`) whose licence the user
    accepts. outputs_dir: where runs are recorded.
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
    """What goes in. names: the value of `input=`, one name or several. text: that of `text=`.

    defaults: what every item's own settings start from: the plain settings of `config.options.ITEM_SETTINGS` that were given
    (lyrics, language, voice, ...). It is an open mapping, as `Item.settings` is: a table's columns may set any name, and
    a node looks up those it knows.
    """

    names: str | Sequence[str] | None = None
    text: str | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConfigSource:
    """Where the settings came from. search: config folders, the first wins. overrides: those of the command line and environment.

    named: the folders that the command line itself names, the shipped tree and `-cd`. Only their files may say what to install.
    """

    search: tuple[Path, ...] = ()
    named: tuple[Path, ...] = ()
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a run is told.

    pinned: role -> the variant the user named. explicit_limit: whether the limit was on the command line or in a variable.
    resolved: the whole composed config as plain data, only for the record of a run.
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
