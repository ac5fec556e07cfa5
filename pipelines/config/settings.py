"""Turns composed YAML into the frozen data of `schema.config`, once. Below this file nobody sees a `DictConfig`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipelines.config import catalog
from pipelines.config.compose import Composed
from pipelines.config.tuning import check_tuning
from pipelines.schema.config import TERMS, Footprint, NodeSpec, PipelineSpec, Tier, Variant
from pipelines.schema.errors import InvalidError, UsageError, did_you_mean
from pipelines.schema.hardware import MemoryKind
from pipelines.schema.roles import ROLES
from pipelines.schema.units import parse_bytes
from pipelines.schema.values import PORTS

_GROUPS = ("pipeline", "tier", "device", "model", "profile", "executor")
_NAME = re.compile(r"^[a-z][a-z0-9_]{0,40}$")
_NODE_KEYS = ("role", "_target_", "in", "knobs", "after", "isolation", "device", "footprint", "stream")
_VARIANT_KEYS = ("_target_", "quality", "licence", "commercial_use", "about", "weights", "knobs", "footprint", "isolation",
                 "environment", "requires", "device", "needs_consent")  # fmt: skip
#: Earlier spellings of the entry of `context` that is an accelerator's own: what its driver and runtime hold.
_CONTEXT_NAMES = {"cuda": "accelerator"}
#: The part of a footprint that is about the host, in its two spellings.
_HOST = ("host", "cpu")
_FOOTPRINT_KEYS = (*Footprint.__dataclass_fields__, *_HOST)


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """The `device` group. kind: auto | cpu | cuda | simulated. total: bytes of a simulated card, or a smaller size to keep to.

    cards_only: `total` is about cards (MAX_CUDA_VRAM) and nothing to the CPU. context: bytes of this process before any
    node's library. roles: role -> device.
    """

    kind: str
    index: int = 0
    total: int | None = None
    name: str | None = None
    context: int = 0
    roles: Mapping[str, str] = field(default_factory=dict)
    cards_only: bool = False


@dataclass(frozen=True)
class Settings:
    """Everything a run is told. pinned: role -> the variant the user named. explicit_limit: the limit was on the command line."""

    pipeline: PipelineSpec
    tier: Tier
    device: DeviceSpec
    pinned: Mapping[str, Variant]
    explicit_limit: bool
    values: Mapping[str, Any]
    resolved: Mapping[str, Any]
    composed: Composed


def read_settings(composed: Composed) -> Settings:
    """Check and freeze a composed config. Raises `UsageError` with the key and the nearest valid names."""
    try:
        data: Any = OmegaConf.to_container(composed.cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise UsageError(f"The config cannot be resolved: {' '.join(str(error).split())}.") from None
    name = composed.choices.get("pipeline", "?")
    explicit = any(re.match(r"^\+*tier\.limit=", override) for override in composed.overrides)
    return Settings(
        pipeline=read_pipeline(name, data.get("pipeline")),
        tier=read_tier(composed.choices.get("tier", "?"), data.get("tier")),
        device=_device(data.get("device")),
        pinned=_pinned(composed, data.get("model") or {}),
        explicit_limit=explicit,
        values={key: value for key, value in data.items() if key not in _GROUPS},
        resolved=data,
        composed=composed,
    )


def read_pipeline(name: str, data: Any) -> PipelineSpec:
    """One file of `conf/pipeline/`."""
    where = f"pipeline {name}"
    if not isinstance(data, Mapping) or not isinstance(data.get("nodes"), Mapping) or not data["nodes"]:
        raise UsageError(f"{where} has no `nodes:`. A pipeline is a mapping of node names to what they are.")
    _only(data, ("nodes", "items", "about", "settings"), where)
    items = data.get("items") or {"audio": "audio"}
    for port, kind in items.items():
        if kind not in PORTS:
            raise UsageError(f"{where}: items.{port} is {kind!r}. {did_you_mean(str(kind), PORTS)}")
    nodes = tuple(_node(str(key), body, where) for key, body in data["nodes"].items())
    return PipelineSpec(name, nodes, dict(items), str(data.get("about", "")))


def _node(name: str, data: Any, where: str) -> NodeSpec:
    place = f"{where}: nodes.{name}"
    if not _NAME.match(name) or name == "item":
        raise UsageError(f"{place}: a node's name is lower case letters, digits and _, at most 41, and not `item`.")
    if not isinstance(data, Mapping):
        raise UsageError(f"{place} must say what it is: {{role: ..., in: ...}} or {{_target_: nodes...., in: ...}}.")
    _only(data, _NODE_KEYS, place)
    role, target = data.get("role"), data.get("_target_")
    if (role is None) == (target is None):
        raise UsageError(f"{place} must have either `role` or `_target_`, and not both.")
    if role is not None and role not in ROLES:
        raise UsageError(f"{place}: there is no role {role!r}. {did_you_mean(str(role), ROLES)}")
    inputs = data.get("in") or {}
    if not isinstance(inputs, Mapping):
        raise UsageError(f"{place}.in must map the node's inputs to `node.port`.")
    for port, source in inputs.items():
        if isinstance(source, list):
            raise InvalidError(
                f"{place}.in.{port} has {len(source)} producers ({', '.join(map(str, source))}); an input has exactly one."
            )
        if not isinstance(source, str):
            raise UsageError(f"{place}.in.{port} must be `node.port`, not {source!r}.")
    return NodeSpec(
        name=name,
        role=role,
        target=target,
        inputs=dict(inputs),
        knobs=_mapping(data.get("knobs"), f"{place}.knobs"),
        after=tuple(_strings(data.get("after"), f"{place}.after")),
        isolation=data.get("isolation"),
        device=data.get("device"),
        footprint=read_footprint(data["footprint"], f"{place}.footprint") if data.get("footprint") else None,
        stream=_flag(data.get("stream", False), f"{place}.stream"),
    )


def read_tier(name: str, data: Any) -> Tier:
    """One file of `conf/tier/`; what is not limit, streams or allow goes into `settings`."""
    where = f"tier {name}"
    data = _mapping(data, where)
    allow = {
        str(role): tuple(_strings(names, f"{where}.allow.{role}"))
        for role, names in _mapping(data.get("allow"), f"{where}.allow").items()
    }
    for role in allow:
        if role not in ROLES:
            raise UsageError(f"{where}.allow names an unknown role {role!r}. {did_you_mean(role, ROLES)}")
    streams = data.get("streams", 1)
    if isinstance(streams, bool) or not isinstance(streams, int) or not 0 <= streams <= 64:
        raise UsageError(f"{where}.streams is {streams!r}; it must be a whole number from 0 (CPU) to 64.")
    limit = None if data.get("limit") is None else _bytes(data["limit"], f"{where}.limit")
    settings = {key: value for key, value in data.items() if key not in ("limit", "streams", "allow", "about")}
    check_tuning("tier", settings)
    return Tier(name, limit, streams, allow, settings, str(data.get("about", "")))


def read_variant(role: str, name: str, data: Mapping[str, Any]) -> Variant:
    """One file of `conf/model/<role>/`, or the composed form of one."""
    where = f"model/{role}/{name}"
    _only(data, _VARIANT_KEYS, where)
    if not isinstance(data.get("_target_"), str):
        raise UsageError(f"{where} has no `_target_` naming its node class.")
    return Variant(
        origin=f"{role}/{name}",
        role=role,
        target=data["_target_"],
        quality=float(data.get("quality", 0)),
        licence=str(data.get("licence", "")),
        knobs=_mapping(data.get("knobs"), f"{where}.knobs"),
        weights=_mapping(data.get("weights"), f"{where}.weights"),
        footprints=_footprints(_mapping(data.get("footprint"), f"{where}.footprint"), f"{where}.footprint"),
        isolation=str(data.get("isolation", "thread")),
        environment=tuple(_strings(data.get("environment"), f"{where}.environment")),
        requires=tuple(_strings(data.get("requires"), f"{where}.requires")),
        device=_own_device(data.get("device"), f"{where}.device"),
        about=str(data.get("about", "")),
        commercial_use=bool(data.get("commercial_use", True)),
        needs_consent=bool(data.get("needs_consent", False)),
    )


def _own_device(value: Any, where: str) -> str | None:
    if value not in (None, "cpu"):
        raise UsageError(f"{where} is {value!r}; a variant is on the run's device (leave it away) or on the `cpu`.")
    return value  # type: ignore[no-any-return]


def load_variant(search: Sequence[Any], role: str, name: str) -> Variant:
    """A variant straight from its file, for those the plan may choose among."""
    return read_variant(role, name, catalog.read(search, f"model/{role}", name))


def _footprints(data: Mapping[str, Any], where: str) -> dict[MemoryKind, Footprint]:
    """The footprints in an accelerator's memory and in the host's.

    What the part `host:` leaves out is as on an accelerator, but for context.
    """
    named = [key for key in _HOST if key in data]
    if len(named) > 1:
        raise UsageError(f"{where} has a part `host` and a part `cpu`; they are two names of one thing. Keep one.")
    accelerator = {key: value for key, value in data.items() if key not in _HOST}
    host_where = f"{where}.{named[0]}" if named else where
    host = _mapping(data.get(named[0]), host_where) if named else {}
    inherited = {key: value for key, value in accelerator.items() if key != "context"}
    return {
        "accelerator": read_footprint(accelerator, where),
        "host": read_footprint({**inherited, **host}, host_where),
    }


def read_footprint(data: Any, where: str) -> Footprint:
    """Sizes as people write them -> bytes. Unknown terms are refused: a misspelt term would count as nothing."""
    data = _mapping(data, where)
    _only(data, _FOOTPRINT_KEYS, where)
    for part in ("workspace", "seconds"):
        _only(_mapping(data.get(part), f"{where}.{part}"), tuple(TERMS), f"{where}.{part}")
    return Footprint(
        weights=_bytes(data.get("weights", 0), f"{where}.weights"),
        load_peak=None if data.get("load_peak") is None else _bytes(data["load_peak"], f"{where}.load_peak"),
        workspace={
            term: _bytes(value, f"{where}.workspace.{term}") for term, value in (data.get("workspace") or {}).items()
        },
        seconds={
            term: _seconds(value, f"{where}.seconds.{term}") for term, value in (data.get("seconds") or {}).items()
        },
        load_seconds=_seconds(data.get("load_seconds", 0), f"{where}.load_seconds"),
        reload_seconds=None
        if data.get("reload_seconds") is None
        else _seconds(data["reload_seconds"], f"{where}.reload_seconds"),
        output=_bytes(data.get("output", 0), f"{where}.output"),
        context={
            _CONTEXT_NAMES.get(library, library): _bytes(value, f"{where}.context.{library}")
            for library, value in _mapping(data.get("context"), where).items()
        },
        source=str(data.get("source", "estimate")),
    )


def _pinned(composed: Composed, models: Mapping[str, Any]) -> dict[str, Variant]:
    pinned = {}
    for role in ROLES:
        choice = composed.choices.get(f"model/{role}", "auto")
        if isinstance(models.get(role), str):
            raise UsageError(
                f"model.{role}={models[role]} pins nothing. A variant has a slash: model/{role}={models[role]}."
            )
        if choice not in ("auto", "null", None) and isinstance(models.get(role), Mapping):
            pinned[role] = read_variant(role, choice, models[role])
    return pinned


def _device(data: Any) -> DeviceSpec:
    data = _mapping(data, "device")
    kinds = ("auto", "cpu", "cuda", "simulated")
    kind = str(data.get("kind"))
    if kind not in kinds:
        raise UsageError(f"device.kind is {kind!r}. {did_you_mean(kind, kinds)}")
    roles = {role: str(value) for role, value in data.items() if role in ROLES and value is not None}
    _only(data, ("kind", "index", "total", "cards_only", "name", "context", *ROLES), "device")
    for role, value in roles.items():
        if not re.fullmatch(r"cpu|cuda(:\d+)?|simulated", value):
            raise UsageError(f"device.{role} is {value!r}. {did_you_mean(value, ('cpu', 'cuda'))}")
    total = None if data.get("total") is None else _bytes(data["total"], "device.total")
    context = _bytes(data.get("context", 0), "device.context")
    cards_only = _flag(data.get("cards_only", False), "device.cards_only")
    return DeviceSpec(kind, int(data.get("index", 0)), total, data.get("name"), context, roles, cards_only)


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{where} is {value!r}; it is true or false.")
    return value


def _only(data: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in data:
        if key not in known:
            raise UsageError(f"{where}: there is no setting {str(key)!r}. {did_you_mean(str(key), known)}")


def _mapping(data: Any, where: str) -> dict[str, Any]:
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise UsageError(f"{where} must hold named fields, not {data!r}.")
    return {str(key): value for key, value in data.items()}


def _strings(data: Any, where: str) -> list[str]:
    if data is None:
        return []
    if isinstance(data, str):
        return [data]
    if not isinstance(data, list) or not all(isinstance(name, str) for name in data):
        raise UsageError(f"{where} must be a list of names, not {data!r}.")
    return list(data)


def _bytes(value: Any, where: str) -> int:
    try:
        return parse_bytes(value)
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from None


def _seconds(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e9:
        raise UsageError(f"{where} is {value!r}; it must be a number of seconds, at least 0.")
    return float(value)
