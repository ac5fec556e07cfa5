"""What each setting of a tier may be, checked once whoever said it: a tier's file, a profile, a variable or the command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.plan.policy import POLICIES
from pipelines.schema.errors import UsageError, did_you_mean
from pipelines.schema.roles import ROLES

Check = Callable[[Any], bool]


def check_tuning(where: str, settings: Mapping[str, Any]) -> None:
    """Raise `UsageError` naming the first setting that cannot be, and its range, or two that contradict each other."""
    for key, (fits, wanted) in RANGES.items():
        value = settings.get(key)
        if value is not None and not fits(value):
            raise UsageError(f"{where}.{key} is {value!r}; it must be {wanted}.")
    _check_residency(where, settings.get("residency"))
    _check_music(where, settings.get("music") or {})


def _check_residency(where: str, value: Any) -> None:
    known = (*POLICIES, "auto")
    if value is not None and value not in known:
        raise UsageError(f"{where}.residency is {value!r}. {did_you_mean(str(value), known)}")


def _check_music(where: str, music: Mapping[str, Any]) -> None:
    for key, (fits, wanted) in MUSIC.items():
        value = music.get(key)
        if value is not None and not fits(value):
            raise UsageError(f"{where}.music.{key} is {value!r}; it must be {wanted}.")
    if music.get("offload_dit") and music.get("offload") is False:
        raise UsageError(
            f"{where}.music.offload_dit=true (ACESTEP_OFFLOAD_DIT_TO_CPU) contradicts {where}.music.offload=false "
            "(ACESTEP_OFFLOAD_TO_CPU): the DiT is part of what would be offloaded. Set both to true, or the first to false."
        )


def _number(least: float, most: float) -> Check:
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _pair(least: float, most: float) -> Check:
    one = _number(least, most)
    return lambda value: isinstance(value, list) and len(value) == 2 and all(map(one, value)) and value[0] <= value[1]


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _roles(value: Any) -> bool:
    return isinstance(value, list) and all(name in ROLES for name in value)


def _mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _allocator(value: Any) -> bool:
    """Names and plain values only: they end up in one variable of the process's environment."""
    return isinstance(value, Mapping) and all(
        re.fullmatch(r"[a-z_]+", str(name)) and re.fullmatch(r"[\w.]+", str(given)) for name, given in value.items()
    )


_YES_NO: tuple[Check, str] = (_flag, "true or false")
#: Setting -> (whether a value fits, what it is in words). Ranges are those of the variables in `environment`.
RANGES: Mapping[str, tuple[Check, str]] = {
    "prebuffer": (_number(0, 30), "a number of seconds from 0 to 30"),
    "prebuffer_range": (_pair(0, 30), "two numbers of seconds from 0 to 30, the lower first"),
    "utilisation": (_number(0.3, 0.95), "a number from 0.3 to 0.95"),
    "utilisation_range": (_pair(0.3, 0.95), "two numbers from 0.3 to 0.95, the lower first"),
    "yield_seconds": (_number(0, 1), "a number of seconds from 0 to 1"),
    "first_audio": (_number(0.1, 600), "a number of seconds from 0.1 to 600"),
    "real_time_factor": (_number(0.01, 100), "a number from 0.01 to 100"),
    "cpu_fallback": (_roles, f"a list of roles ({', '.join(ROLES)})"),
    "offload": _YES_NO,
    "tiled_decode": _YES_NO,
    "allocator": (_allocator, "the allocator's settings by name, such as {max_split_size_mb: 128}"),
    "on_excess": (lambda value: value in ("clamp", "refuse"), "clamp or refuse"),
    "music": (_mapping, "settings by name"),
    "knobs": (_mapping, "knobs by role"),
}
MUSIC: Mapping[str, tuple[Check, str]] = {
    "duration": (_number(10, 600), "a number of seconds from 10 to 600"),
    "duration_with_lm": (_number(10, 600), "a number of seconds from 10 to 600"),
    "batch": (lambda value: _number(1, 8)(value) and isinstance(value, int), "a whole number from 1 to 8"),
    "lm_default": _YES_NO,
    "offload": _YES_NO,
    "offload_dit": _YES_NO,
}
