"""Which value of each setting is in force, where it came from and what it overrode: `headroom detect --explain`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from pipelines.config.variables import hydra_text, in_force, parsed_overrides, read_variables
from pipelines.schema.units import format_bytes


@dataclass(frozen=True, slots=True)
class Setting:
    """One value in force. source: `command line`, a variable's name, `.env: NAME`, `profile NAME`, `tier NAME` or `default`.

    overrode: (source, value) of every lower source that gives another value, nearest first.
    """

    key: str
    value: Any
    source: str
    overrode: tuple[tuple[str, Any], ...] = ()


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
    layers: list[tuple[str, Mapping[str, Any]]] = [("command line", dict(parsed_overrides(given)))]
    layers += in_force(read_variables(environ), given).items()
    layers += [(f".env: {name}", keys) for name, keys in in_force(read_variables(dotenv, ".env: "), given).items()]
    layers.append((f"profile {profile[0]}", flatten(profile[1], "tier")))
    layers.append((f"tier {tier[0]}", flatten(tier[1], "tier")))
    layers.append(("default", dict(defaults)))
    known = {key for _, keys in layers for key in keys} - {"tier.about", "tier.auto"}
    return tuple(_setting(key, layers) for key in sorted(known))


def _setting(key: str, layers: Sequence[tuple[str, Mapping[str, Any]]]) -> Setting:
    given = [(source, keys[key]) for source, keys in layers if key in keys]
    (source, value), lower = given[0], given[1:]
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
    text = hydra_text(value)
    size = re.fullmatch(r"(\d+)\s*MiB", text)
    if size and int(size[1]) % 1024 == 0:
        return f"{int(size[1]) // 1024} GiB"
    return re.sub(r",(?=\S)", ", ", text)
