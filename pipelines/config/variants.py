"""A variant's file, `conf/model/<role>/<name>.yaml`, checked and frozen: sizes as people write them become bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.config import catalog
from pipelines.schema.config import TERMS, Footprint, Variant
from pipelines.schema.errors import UsageError
from pipelines.schema.fields import (
    BYTES,
    FLAG,
    NAMES,
    NUMBER,
    SECONDS,
    TEXT,
    Reader,
    choice,
    each,
    mapping,
    read_fields,
)
from pipelines.schema.hardware import MemoryKind
from pipelines.weights.spec import read_spec

#: Earlier spellings of the entry of `context` that is an accelerator's own: what its driver and runtime hold.
_CONTEXT_NAMES = {"cuda": "accelerator"}
#: The part of a footprint that is about the host, in its two spellings.
_HOST = ("host", "cpu")


def load_variant(search: Sequence[Path], role: str, name: str) -> Variant:
    """A variant straight from its file, for those the plan may choose among."""
    return read_variant(role, name, catalog.read(search, f"model/{role}", name))


def read_variant(role: str, name: str, data: Any) -> Variant:
    """One file of `conf/model/<role>/`, or the composed form of one. Raises `UsageError`."""
    where = f"model/{role}/{name}"
    values = read_fields(data, VARIANT, where)
    if "_target_" not in values:
        raise UsageError(f"{where} has no `_target_` naming its node class.")
    return Variant(
        f"{role}/{name}",
        role,
        target=values.pop("_target_"),
        weights=read_spec(values.pop("weights", {}), f"{role}/{name}"),
        footprints=_footprints(values.pop("footprint", {}), f"{where}.footprint"),
        **values,
    )


def _footprints(data: Mapping[str, Any], where: str) -> dict[MemoryKind, Footprint]:
    """The footprints in an accelerator's memory and in the host's.

    What the part `host:` leaves out is as on an accelerator, but for context.
    """
    named = [key for key in _HOST if key in data]
    if len(named) > 1:
        raise UsageError(f"{where} has a part `host` and a part `cpu`; they are two names of one thing. Keep one.")
    accelerator = {key: value for key, value in data.items() if key not in _HOST}
    host_where = f"{where}.{named[0]}" if named else where
    host = mapping(data[named[0]], host_where) if named else {}
    inherited = {key: value for key, value in accelerator.items() if key != "context"}
    return {
        "accelerator": read_footprint(accelerator, where),
        "host": read_footprint({**inherited, **host}, host_where),
    }


def read_footprint(data: Any, where: str) -> Footprint:
    """One footprint. Unknown terms are refused: a misspelt one would count as nothing."""
    values = read_fields(data, FOOTPRINT, where)
    context = {_CONTEXT_NAMES.get(name, name): size for name, size in values.pop("context", {}).items()}
    return Footprint(**values, context=context)


#: The fields of `Footprint`.
FOOTPRINT: Mapping[str, Reader[Any]] = {
    "weights": BYTES,
    "load_peak": BYTES,
    "workspace": each(BYTES, TERMS),
    "seconds": each(SECONDS, TERMS),
    "load_seconds": SECONDS,
    "reload_seconds": SECONDS,
    "output": BYTES,
    "context": each(BYTES),
    "source": TEXT,
}
#: Where a node's work is done: in this process, or in one of its own.
ISOLATION = choice("thread", "process")
#: The fields of `Variant`, with `_target_` for `target` and `footprint` for `footprints`.
VARIANT: Mapping[str, Reader[Any]] = {
    "_target_": TEXT,
    "quality": NUMBER,
    "licence": TEXT,
    "commercial_use": FLAG,
    "needs_consent": FLAG,
    "about": TEXT,
    "weights": mapping,
    "knobs": mapping,
    "footprint": mapping,
    "isolation": ISOLATION,
    "environment": NAMES,
    "requires": NAMES,
    "device": choice("cpu"),
}
