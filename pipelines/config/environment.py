"""Environment variables -> config keys, all in one place, and where each effective value came from.

Precedence: command line > environment > `.env` > profile > tier > default. Hydra itself puts profile over tier (a profile's file says
`# @package tier`) and later overrides over earlier ones, so variables become overrides that stand before the user's own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from textwrap import wrap
from typing import Any

from pipelines.schema.errors import UsageError, did_you_mean
from pipelines.schema.units import format_bytes

Keys = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable. accepts: its range, for messages. read: text -> config keys, None where the text is out of range."""

    name: str
    accepts: str
    read: Callable[[str], Keys | None]


@dataclass(frozen=True, slots=True)
class Setting:
    """One effective value. source: `command line`, a variable's name, `.env: NAME`, `profile NAME`, `tier NAME` or `default`.

    overrode: (source, value) of every lower source that had something else to say, nearest first.
    """

    key: str
    value: Any
    source: str
    overrode: tuple[tuple[str, Any], ...] = ()


def _whole(text: str, least: int, most: int) -> int | None:
    match = re.fullmatch(r"[0-9]{1,9}", text)
    return int(text) if match and least <= int(text) <= most else None


def _number(text: str, least: float, most: float) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and least <= value <= most else None


def _flag(text: str) -> bool | None:
    return {
        "true": True,
        "1": True,
        "yes": True,
        "on": True,
        "false": False,
        "0": False,
        "no": False,
        "off": False,
    }.get(text.lower())


def _as(key: str, read: Callable[[str], Any]) -> Callable[[str], Keys | None]:
    """A reader of one key from a reader of one value."""

    def keys(text: str) -> Keys | None:
        value = read(text)
        return None if value is None else {key: value}

    return keys


def _limit(text: str) -> Keys | None:
    value = _whole(text, 0, 8 * 1024 * 1024)
    return None if value is None else {"tier.limit": f"{value}MiB" if value else None}


def _utilisation(text: str) -> Keys | None:
    # 000's ranges reach a tenth to each side of their targets, so a target of one's own brings such a range with it.
    value = _number(text, 0.3, 0.95)
    if value is None:
        return None
    around = [round(max(0.3, value - 0.1), 3), round(min(0.95, value + 0.1), 3)]
    return {"tier.utilisation": value, "tier.utilisation_range": around}


def _profile(text: str) -> Keys | None:
    return {"profile": text.lower()} if text.lower() in ("auto", "high_performance", "balanced", "modest") else None


def _low_vram(text: str) -> Keys | None:
    if text.lower() == "auto":
        return {"tier.residency": "auto"}
    value = _flag(text)
    return None if value is None else {"tier.residency": "sequential" if value else "normal"}


def _card(text: str) -> Keys | None:
    value = _number(text, 0.25, 1024)
    return None if value is None else {"device.total": f"{round(value * 1024)}MiB", "device.cards_only": True}


def _duration(text: str) -> Keys | None:
    value = _number(text, 10, 600)
    return None if value is None else {"tier.music.duration": value, "tier.music.duration_with_lm": value}


_YES_NO = "true or false"
#: Every variable that is read, and nothing else is. Names are 000's, 001's and 003's.
VARIABLES: Mapping[str, Variable] = {
    variable.name: variable
    for variable in (
        Variable("VRPG_XTTS_GPU_STREAMS", "a whole number from 0 (CPU) to 64", _as("tier.streams", lambda t: _whole(t, 0, 64))),
        Variable("VRPG_XTTS_GPU_VRAM_LIMIT_MB", "a whole number of MiB, 0 for no limit", _limit),
        Variable("VRPG_XTTS_GPU_UTILIZATION_TARGET", "a number from 0.3 to 0.95", _utilisation),
        Variable("VRPG_XTTS_PREBUFFER_SECONDS", "a number of seconds from 0 to 30", _as("tier.prebuffer", lambda t: _number(t, 0, 30))),
        Variable("VRPG_XTTS_PERFORMANCE_PROFILE", "auto, high_performance, balanced or modest", _profile),
        Variable("LOW_VRAM", "true (one model at a time), false (all stay) or auto", _low_vram),
        Variable("MAX_CUDA_VRAM", "a number of GB from 0.25 to 1024", _card),
        Variable("ACESTEP_OFFLOAD_TO_CPU", _YES_NO, _as("tier.music.offload", _flag)),
        Variable("ACESTEP_OFFLOAD_DIT_TO_CPU", _YES_NO, _as("tier.music.offload_dit", _flag)),
        Variable("ACESTEP_MAX_DURATION", "a number of seconds from 10 to 600", _duration),
        Variable("ACESTEP_MAX_BATCH_SIZE", "a whole number from 1 to 8", _as("tier.music.batch", lambda t: _whole(t, 1, 8))),
        Variable("ACESTEP_INIT_LM_DEFAULT", _YES_NO, _as("tier.music.lm_default", _flag)),
    )
}  # fmt: skip


def read_dotenv(file: Path) -> dict[str, str]:
    """What a `.env` file says, as python-dotenv reads it: comments, quotes and `export` allowed, nothing expanded or executed.

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
    for name, variable in VARIABLES.items():
        text = values.get(name, "").strip()
        if not text:
            continue
        keys = variable.read(text)
        if keys is None:
            raise UsageError(f"{place}{name} is {text[:40]!r}; it must be {variable.accepts}.")
        read[name] = keys
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


def _outranked(variables: Mapping[str, Keys], given: Sequence[str]) -> dict[str, Keys]:
    """Variables without what the command line says: one whose first key it gives, which the others belong to, is left out whole."""
    mine = {key for key, _ in _parse(given)}
    return {
        name: {key: value for key, value in keys.items() if key not in mine}
        for name, keys in variables.items()
        if next(iter(keys)) not in mine
    }


def overrides(environ: Mapping[str, str], dotenv: Mapping[str, str], given: Sequence[str] = ()) -> tuple[str, ...]:
    """Hydra overrides that stand for the variables, to be put before the user's own. Keys the user gives (`given`) are left out.

    Raises `UsageError` as `read_variables` does.
    """
    merged: Keys = {}
    read = {**read_variables(dotenv, ".env: "), **read_variables(environ)}
    for keys in _outranked(read, given).values():
        merged.update(keys)
    _refuse_contradictions(merged)
    # `++`, for a tier of the user's own may leave a setting out; a group (`profile`) is chosen, not set.
    return tuple(f"{'++' if '.' in key else ''}{key}={_hydra(value)}" for key, value in merged.items())


def _hydra(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ",".join(map(_hydra, value)) + "]"
    return str(value)


def _parse(given: Sequence[str]) -> Iterable[tuple[str, str]]:
    for text in given:
        key, equals, value = text.lstrip("+~").partition("=")
        if equals and not text.startswith("-"):
            yield key, value


def effective(
    *,
    tier: tuple[str, Mapping[str, Any]],
    profile: tuple[str, Mapping[str, Any]] = ("auto", {}),
    dotenv: Mapping[str, str] = {},
    environ: Mapping[str, str] = {},
    given: Sequence[str] = (),
    defaults: Mapping[str, Any] = {},
) -> tuple[Setting, ...]:
    """Every setting with its value, its source and what it overrode, sorted by key. Pure.

    tier, profile: name and raw data of the YAML files. given: the overrides on the command line. defaults: those of `base.yaml`.
    """
    layers: list[tuple[str, Mapping[str, Any]]] = [("command line", dict(_parse(given)))]
    layers += _outranked(read_variables(environ), given).items()
    layers += [(f".env: {name}", keys) for name, keys in _outranked(read_variables(dotenv, ".env: "), given).items()]
    layers.append((f"profile {profile[0]}", flatten(profile[1], "tier")))
    layers.append((f"tier {tier[0]}", flatten(tier[1], "tier")))
    layers.append(("default", dict(defaults)))
    known = {key for _, keys in layers for key in keys} - {"tier.about", "tier.auto"}
    return tuple(_setting(key, layers) for key in sorted(known))


def _setting(key: str, layers: Sequence[tuple[str, Mapping[str, Any]]]) -> Setting:
    says = [(source, keys[key]) for source, keys in layers if key in keys]
    (source, value), lower = says[0], says[1:]
    return Setting(key, value, source, tuple((name, other) for name, other in lower if _shown(other) != _shown(value)))


def flatten(data: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Nested settings as dotted keys; `allow`'s and `knobs`' entries too.

    >>> flatten({"limit": 1, "music": {"batch": 2}}, "tier")
    {'tier.limit': 1, 'tier.music.batch': 2}
    """
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}.{key}")
        else:
            flat[f"{prefix}.{key}"] = value
    return flat


def render(settings: Sequence[Setting], width: int = 80) -> tuple[str, ...]:
    """Settings as text: under each source, the highest first, its settings and what each of them overrode; what is not set last."""
    unset = [setting.key for setting in settings if setting.value is None and not setting.overrode]
    shown = [setting for setting in settings if setting.key not in unset]
    column = max((len(setting.key) for setting in shown), default=0)
    lines: list[str] = []
    for source in sorted({setting.source for setting in shown}, key=_rank):
        lines.append(f"{source}:")
        for setting in (each for each in shown if each.source == source):
            lines += _folded(f"  {setting.key:<{column}}  ", _shown(setting.value), width)
            if setting.overrode:
                over = ", ".join(f"{_shown(value)} of {name}" for name, value in setting.overrode)
                lines += _folded(" " * (column + 4), f"over {over}", width)
    return (*lines, *_folded("not set: ", ", ".join(unset), width)) if unset else tuple(lines)


def _rank(source: str) -> tuple[int, str]:
    order = ("command line", "", ".env:", "profile ", "tier ", "default")
    return next((at for at, start in enumerate(order) if start and source.startswith(start)), 1), source


def _folded(head: str, text: str, width: int) -> list[str]:
    """`head` and `text`, folded between words, the text in a column of its own."""
    room = max(20, width - len(head))
    return [f"{head if at == 0 else ' ' * len(head)}{part}" for at, part in enumerate(wrap(text, room) or [""])]


def _shown(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1024**2:
        return format_bytes(value)
    text = _hydra(value)
    size = re.fullmatch(r"(\d+)\s*MiB", text)
    if size and int(size[1]) % 1024 == 0:
        return f"{int(size[1]) // 1024} GiB"
    return re.sub(r",(?=\S)", ", ", text)
