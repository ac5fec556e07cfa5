"""Environment variables that stand for config keys, all in one place. `effective` says where each value in force came from.

Precedence: command line > environment > `.env` > profile > tier > default. Hydra itself puts profile over tier (a profile's file says
`# @package tier`) and later overrides over earlier ones, so variables become overrides that stand before the user's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

from pipelines.config.tier import BATCH, DURATION, PREBUFFER, STREAMS, UTILISATION
from pipelines.schema.errors import UsageError, did_you_mean
from pipelines.schema.fields import FLAG, Kind, choice, number, whole

T = TypeVar("T")
#: Config keys and their values, as in `{"tier.streams": 1}`.
Keys = dict[str, Any]


def _number(text: str) -> int | float:
    """The number that a text is: a whole one only where it is written in digits. Raises `ValueError`."""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else float(text)


def _flag(text: str) -> bool | str:
    """True or false as people write it; any other text as it stands."""
    if text.lower() in ("true", "1", "yes", "on"):
        return True
    return False if text.lower() in ("false", "0", "no", "off") else text


def _variable(kind: Kind[T], sets: str | Callable[[T], Keys], parse: Callable[[str], Any] = _number) -> Kind[Keys]:
    """A variable whose text `parse` and `kind` read. sets: the config key it stands for, or value -> keys and values."""

    def convert(text: str) -> Keys:
        value = kind.convert(parse(text))
        return {sets: value} if isinstance(sets, str) else sets(value)

    return Kind(kind.wanted, convert)


def _limit(mebibytes: int) -> Keys:
    return {"tier.limit": f"{mebibytes}MiB" if mebibytes else None}


def _utilisation(value: float) -> Keys:
    # The ranges of document 000 (docs/seeds.md) reach a tenth to each side of their targets; so does that of one's own.
    around = [round(max(0.3, value - 0.1), 3), round(min(0.95, value + 0.1), 3)]
    return {"tier.utilisation": value, "tier.utilisation_range": around}


def _low_vram(text: str) -> Keys:
    if text.lower() == "auto":
        return {"tier.residency": "auto"}
    return {"tier.residency": "sequential" if FLAG.convert(_flag(text)) else "normal"}


def _card(gigabytes: float) -> Keys:
    return {"device.total": f"{round(gigabytes * 1024)}MiB", "device.cards_only": True}


def _duration(seconds: float) -> Keys:
    return {"tier.music.duration": seconds, "tier.music.duration_with_lm": seconds}


_MEBIBYTES = whole(0, 8 * 1024 * 1024, "a whole number of MiB, 0 for no limit")
_PROFILES = choice("auto", "high_performance", "balanced", "modest")
#: Every variable that stands for config keys: what its text must be, and the keys it sets. Others say where folders are and
#: how libraries behave; docs/command-line.md has them all. Names are those of documents 000, 001 and 003. What the
#: `ACESTEP_` ones set is read by nothing yet.
VARIABLES: Mapping[str, Kind[Keys]] = {
    "VRPG_XTTS_GPU_STREAMS": _variable(STREAMS, "tier.streams"),
    "VRPG_XTTS_GPU_VRAM_LIMIT_MB": _variable(_MEBIBYTES, _limit),
    "VRPG_XTTS_GPU_UTILIZATION_TARGET": _variable(UTILISATION, _utilisation),
    "VRPG_XTTS_PREBUFFER_SECONDS": _variable(PREBUFFER, "tier.prebuffer"),
    "VRPG_XTTS_PERFORMANCE_PROFILE": _variable(_PROFILES, "profile", str.lower),
    "LOW_VRAM": Kind("true (one model at a time), false (all stay) or auto", _low_vram),
    "MAX_CUDA_VRAM": _variable(number(0.25, 1024, "GB"), _card),
    "ACESTEP_OFFLOAD_TO_CPU": _variable(FLAG, "tier.music.offload", _flag),
    "ACESTEP_OFFLOAD_DIT_TO_CPU": _variable(FLAG, "tier.music.offload_dit", _flag),
    "ACESTEP_MAX_DURATION": _variable(DURATION, _duration),
    "ACESTEP_MAX_BATCH_SIZE": _variable(BATCH, "tier.music.batch"),
    "ACESTEP_INIT_LM_DEFAULT": _variable(FLAG, "tier.music.lm_default", _flag),
}


def read_dotenv(file: Path) -> dict[str, str]:
    """The variables of a `.env` file, as python-dotenv reads it: comments, quotes and `export` allowed, nothing expanded or executed.

    A missing file is empty, and so is a folder: some keep a virtual environment under that name. The file may be shared
    with other programs, so lines that are not NAME=value are passed over. Raises `UsageError` where such a line names one
    of our variables.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")  # some editors begin it with a mark
    except (FileNotFoundError, IsADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}.") from None
    from dotenv.parser import parse_stream

    found: dict[str, str] = {}
    for line in parse_stream(StringIO(text)):
        meant = [name for name in VARIABLES if name in line.original.string] if line.error else []
        if meant:
            raise UsageError(f"{file}, line {line.original.line} names {meant[0]} and is not NAME=value.")
        if line.key:
            found[line.key] = line.value or ""
    return found


def read_variables(values: Mapping[str, str], place: str = "") -> dict[str, Keys]:
    """Config keys by variable, of the known ones in `values`. Empty values count as unset, as compose files leave them.

    Raises `UsageError` naming the variable and its range, or two variables that contradict each other.
    """
    read: dict[str, Keys] = {}
    for name, kind in VARIABLES.items():
        if text := values.get(name, "").strip():
            read[name] = kind(text, f"{place}{name}")
    _refuse_misspelt(values, place)
    return read


def _refuse_misspelt(values: Mapping[str, str], place: str) -> None:
    for name in values:
        if name.startswith("VRPG_XTTS_GPU_") and name not in VARIABLES:
            raise UsageError(f"{place}{name} is not a variable Headroom knows. {did_you_mean(name, VARIABLES)}")


def _refuse_contradictions(keys: Mapping[str, Any]) -> None:
    if keys.get("tier.music.offload_dit") and keys.get("tier.music.offload") is False:
        raise UsageError(
            "ACESTEP_OFFLOAD_DIT_TO_CPU=true contradicts ACESTEP_OFFLOAD_TO_CPU=false: the DiT is part of what would be offloaded. "
            "Set both to true, or the first to false."
        )


def in_force(variables: Mapping[str, Keys], given: Sequence[str]) -> dict[str, Keys]:
    """Variables without the keys that the command line gives; one whose first key is given goes whole, for its others belong to that."""
    given_keys = {key for key, _ in parsed_overrides(given)}
    return {
        name: {key: value for key, value in keys.items() if key not in given_keys}
        for name, keys in variables.items()
        if next(iter(keys)) not in given_keys
    }


def overrides(environ: Mapping[str, str], dotenv: Mapping[str, str], given: Sequence[str] = ()) -> tuple[str, ...]:
    """Hydra overrides that stand for the variables, to be put before the user's own. Keys the user gives (`given`) are left out.

    Raises `UsageError` as `read_variables` does.
    """
    merged: Keys = {}
    read = {**read_variables(dotenv, ".env: "), **read_variables(environ)}
    for keys in in_force(read, given).values():
        merged.update(keys)
    _refuse_contradictions(merged)
    # `++`, for a tier of the user's own may leave a setting out; a group (`profile`) is chosen, not set.
    return tuple(f"{'++' if '.' in key else ''}{key}={hydra_text(value)}" for key, value in merged.items())


def hydra_text(value: Any) -> str:
    """A plain value as Hydra's grammar writes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ",".join(map(hydra_text, value)) + "]"
    return str(value)


def parsed_overrides(given: Sequence[str]) -> Iterable[tuple[str, str]]:
    """Key and value of each `KEY=VALUE` in `given`; flags are passed over."""
    for text in given:
        key, equals, value = text.lstrip("+~").partition("=")
        if equals and not text.startswith("-"):
            yield key, value
