"""A tier's file, `conf/tier/<name>.yaml`: what each setting may be, wherever it is set (file, profile, variable, command line)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.config import catalog
from pipelines.schema.errors import UsageError
from pipelines.schema.fields import (
    BYTES,
    FLAG,
    NAMES,
    TEXT,
    Kind,
    Reader,
    choice,
    each,
    mapping,
    names,
    number,
    pair,
    read_fields,
    whole,
)
from pipelines.schema.roles import ROLES
from pipelines.schema.settings import EXCESSES, RESIDENCIES, MusicTier, Tier


def read_tier(name: str, data: Any, where: str = "tier") -> Tier:
    """One file of `conf/tier/`, composed or as it stands. where: its place, for messages. Raises `UsageError`."""
    values = read_fields(data, TIER, where)
    values.pop("auto", None)  # a mark for readers of conf/tier/auto.yaml; nothing depends on it
    return Tier(name, limit_bytes=values.pop("limit", None), **values)


def load_tier(search: Sequence[Path], name: str) -> Tier:
    """A tier straight from its file."""
    return read_tier(name, catalog.read(search, "tier", name), f"tier/{name}")


def _music(value: Any, where: str) -> MusicTier:
    music = MusicTier(**read_fields(value, MUSIC, where))
    if music.offload_dit and music.offload is False:
        raise UsageError(
            f"{where}.offload_dit=true (ACESTEP_OFFLOAD_DIT_TO_CPU) contradicts {where}.offload=false "
            "(ACESTEP_OFFLOAD_TO_CPU): the DiT is part of what would be offloaded. Set both to true, or the first to false."
        )
    return music


def _allocator(value: Any) -> dict[str, str | int | float]:
    """Names and plain values only: they end up in one variable of the process's environment."""
    if not isinstance(value, Mapping) or not all(
        re.fullmatch(r"[a-z_]+", str(name)) and re.fullmatch(r"[\w.]+", str(given)) for name, given in value.items()
    ):
        raise ValueError
    return {str(name): given for name, given in value.items()}


# Kinds that `variables` has too: a variable and the setting it stands for have one range.
STREAMS = whole(0, 64, "a whole number from 0 (CPU) to 64")
PREBUFFER = number(0, 30, "seconds")
UTILISATION = number(0.3, 0.95)
DURATION = number(10, 600, "seconds")
BATCH = whole(1, 8)

#: The fields of `Tier`, with `limit` for `limit_bytes`.
TIER: Mapping[str, Reader[Any]] = {
    "limit": BYTES,
    "streams": STREAMS,
    "allow": each(NAMES, ROLES),
    "residency": choice(*sorted(RESIDENCIES)),
    "cpu_fallback": names(f"a list of roles ({', '.join(ROLES)})", ROLES),
    "allocator": Kind("the allocator's settings by name, such as {max_split_size_mb: 128}", _allocator),
    "knobs": each(mapping, ROLES),
    "prebuffer": PREBUFFER,
    "prebuffer_range": pair(0, 30, "seconds"),
    "utilisation": UTILISATION,
    "utilisation_range": pair(0.3, 0.95),
    "yield_seconds": number(0, 1, "seconds"),
    "first_audio": number(0.1, 600, "seconds"),
    "real_time_factor": number(0.01, 100),
    "offload": FLAG,
    "tiled_decode": FLAG,
    "on_excess": choice(*EXCESSES),
    "music": _music,
    "about": TEXT,
    "auto": FLAG,
}
#: The fields of `MusicTier`.
MUSIC: Mapping[str, Reader[Any]] = {
    "duration": DURATION,
    "duration_with_lm": DURATION,
    "batch": BATCH,
    "lm": NAMES,
    "lm_default": FLAG,
    "offload": FLAG,
    "offload_dit": FLAG,
}
