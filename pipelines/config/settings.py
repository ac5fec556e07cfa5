"""Turns composed YAML into the frozen data of `schema.config`, once. Below this file nobody sees a `DictConfig`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipelines.config import catalog
from pipelines.config.compose import Composed
from pipelines.config.device import read_device
from pipelines.config.options import read_inputs, read_run_options
from pipelines.config.tier_fields import read_tier
from pipelines.schema.config import TERMS, Footprint, NodeSpec, PipelineSpec, Variant
from pipelines.schema.errors import InvalidError, UsageError, did_you_mean
from pipelines.schema.hardware import MemoryKind
from pipelines.schema.roles import ROLES
from pipelines.schema.settings import Settings
from pipelines.schema.units import parse_bytes
from pipelines.schema.values import PORTS

_NAME = re.compile(r"^[a-z][a-z0-9_]{0,40}$")
_NODE_KEYS = ("role", "_target_", "in", "knobs", "after", "isolation", "device", "footprint", "stream")
_VARIANT_KEYS = ("_target_", "quality", "licence", "commercial_use", "about", "weights", "knobs", "footprint", "isolation",
                 "environment", "requires", "device", "needs_consent")  # fmt: skip
#: Earlier spellings of the entry of `context` that is an accelerator's own: what its driver and runtime hold.
_CONTEXT_NAMES = {"cuda": "accelerator"}
#: The part of a footprint that is about the host, in its two spellings.
_HOST = ("host", "cpu")
_FOOTPRINT_KEYS = (*Footprint.__dataclass_fields__, *_HOST)


def read_settings(composed: Composed) -> Settings:
    """Check and freeze a composed config. Raises `UsageError` with the key and the nearest valid names."""
    try:
        data: Any = OmegaConf.to_container(composed.cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise UsageError(f"The config cannot be resolved: {' '.join(str(error).split())}.") from None
    overrides = composed.source.overrides
    return Settings(
        pipeline=read_pipeline(composed.choices.get("pipeline", "?"), data.get("pipeline")),
        tier=read_tier(composed.choices.get("tier", "?"), data.get("tier")),
        device=read_device(data.get("device")),
        pinned=_pinned(composed, data.get("model") or {}),
        options=read_run_options(data),
        inputs=read_inputs(data),
        explicit_limit=any(re.match(r"^\+*tier\.limit=", override) for override in overrides),
        source=composed.source,
        resolved=data,
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
