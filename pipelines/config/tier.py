"""Tiers: what each of their settings may be, whoever said it, and what of them depends on the device (`tier=auto`, `residency: auto`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.config import catalog
from pipelines.config.cards import simulated_card
from pipelines.devices import detect as detection
from pipelines.devices.detect import Detection
from pipelines.devices.registry import device_kinds, spec_of
from pipelines.plan.policy import policy_for
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
from pipelines.schema.hardware import classify
from pipelines.schema.roles import ROLES
from pipelines.schema.settings import EXCESSES, RESIDENCIES, DeviceSpec, MusicTier, Tier
from pipelines.schema.units import format_bytes


def read_tier(name: str, data: Any, where: str = "tier") -> Tier:
    """One file of `conf/tier/`, composed or as it stands. where: its place, for messages. Raises `UsageError`."""
    values = read_fields(data, TIER, where)
    values.pop("auto", None)
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


def detected_tier(device: DeviceSpec, search: Sequence[Path]) -> str:
    """The tier that `tier=auto` stands for: of the simulated card, of the CPU, or of the card the driver tells of."""
    kind = device_kinds().get(device.kind)  # None: `auto`
    if kind is not None and kind.virtual:
        return classify(simulated_card(device, search))[0]
    if kind is not None and kind.memory == "host":
        return "cpu"
    found = detection.detect()
    if kind is not None:
        found = _as_card(found, spec_of(device.kind, device.index))
    if device.total is not None:
        found = detection.as_if(found, device.total)
    return found.tier if kind is None or found.tier != "cpu" else "modest"


def _as_card(found: Detection, spec: str) -> Detection:
    """The detection with the card the user named as the one in use, whatever detection would choose."""
    card = next((card for card in found.hardware.cards if card.spec == spec), None)
    return found if card is None else replace(found, card=card, tier=classify(card)[0])


def decide_residency(tier: Tier, total_bytes: int) -> tuple[Tier, tuple[str, ...]]:
    """The tier with its residency policy decided (`auto` goes by the device's size), and a line for a policy that is not `planned`."""
    policy = policy_for(tier.residency, total_bytes)
    if policy == "planned":
        return replace(tier, residency=policy), ()
    why = f" (auto, on a device of {format_bytes(total_bytes)})" if tier.residency == "auto" else ""
    return replace(tier, residency=policy), (f"residency={policy}{why}: {_MEANS[policy]}",)


_MEANS = {
    "sequential": "a model is loaded for one task and let go after it. residency=planned fits wherever this does and reloads less.",
    "normal": "every model stays to the end once it is loaded.",
}
#: The fields of `Tier`, with `limit` for `limit_bytes`. Ranges are those of the variables in `environment`.
TIER: Mapping[str, Reader[Any]] = {
    "limit": BYTES,
    "streams": whole(0, 64, "a whole number from 0 (CPU) to 64"),
    "allow": each(NAMES, ROLES),
    "residency": choice(*sorted(RESIDENCIES)),
    "cpu_fallback": names(f"a list of roles ({', '.join(ROLES)})", ROLES),
    "allocator": Kind("the allocator's settings by name, such as {max_split_size_mb: 128}", _allocator),
    "knobs": each(mapping, ROLES),
    "prebuffer": number(0, 30, "seconds"),
    "prebuffer_range": pair(0, 30, "seconds"),
    "utilisation": number(0.3, 0.95),
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
    "duration": number(10, 600, "seconds"),
    "duration_with_lm": number(10, 600, "seconds"),
    "batch": whole(1, 8),
    "lm": NAMES,
    "lm_default": FLAG,
    "offload": FLAG,
    "offload_dit": FLAG,
}
