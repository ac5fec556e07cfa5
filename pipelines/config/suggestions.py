"""What was probably meant: the nearest settings, flags and groups to a word that names none, read from the config tree."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.config import catalog
from pipelines.schema.errors import did_you_mean

#: The file of the shipped tree that holds the plain settings; `config.yaml` of a user's own folder may begin with it.
ROOT_CONFIG = "base"


def not_a_setting(words: Sequence[str], index: int, search: Sequence[Path]) -> str:
    """The sentence for a word of the command line that is no setting: what was probably meant."""
    word, before = words[index], words[index - 1] if index else ""
    if is_there(word):
        hint = f" Did you mean input={word}?"
    elif word in catalog.options(search, "pipeline"):
        hint = f" Did you mean pipeline={word}?"
    elif word in _root_keys(search):
        hint = f" Did you mean {word}=VALUE?"
    elif "=" in before:
        hint = f" If it belongs to {before!r}, put quotes around both: '{before} {word}'."
    else:
        hint = " See `headroom --help`."
    return f"{word!r} cannot be read as an override: settings are KEY=VALUE.{hint}"


def no_flag(flag: str, known: Sequence[str], search: Sequence[Path]) -> str:
    """The sentence for an unknown flag; settings have no dashes."""
    name = flag.lstrip("-").partition("=")[0].replace("-", "_")
    if name in _root_keys(search):
        return f"There is no flag {flag!r}: {name} is a setting and has no dashes, {name}=VALUE."
    return f"Unknown flag {flag!r}. {did_you_mean(flag, known)}"


def is_there(name: str) -> bool:
    """Whether a path exists; a name that is too long for one does not."""
    try:
        return Path(name).exists()
    except OSError:
        return False


def no_experiment(name: str, search: Sequence[Path]) -> str:
    """The sentence for an experiment that no folder has."""
    known = catalog.options(search, "experiment")
    return f"There is no experiment {name!r}. {did_you_mean(name, known)} One is a file experiment/NAME.yaml in a folder given with -cd."


def groups(search: Sequence[Path]) -> list[str]:
    """Config groups of every folder of the search path."""
    return sorted(
        {
            str(folder.relative_to(root))
            for root in search
            for folder in root.rglob("*")
            if folder.is_dir() and any(folder.glob("*.yaml"))
        }
    )


def _root_keys(search: Sequence[Path]) -> list[str]:
    """The plain settings and the config groups."""
    root = catalog.read(search, "", ROOT_CONFIG) if ROOT_CONFIG in catalog.options(search, "") else {}
    return [name for name in root if name not in ("defaults", "hydra")] + groups(search)


def near_keys(key: str, search: Sequence[Path]) -> str:
    """Nearest valid keys to a misspelt one, from the root config and the group names."""
    if "/" in key:
        return did_you_mean(key, groups(search))
    if knob := re.fullmatch(r"model\.(\w+)\.knobs\.(\w+)", key):
        return _near_knobs(knob[1], knob[2], search)
    names = _root_keys(search)
    parts = key.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        group = "/".join(parts[:cut])
        if files := catalog.options(search, group):
            inner = [_inner(catalog.read(search, group, name), parts[cut:-1]) for name in files]
            names = sorted({str(name) for fields in inner for name in fields}) or names
            break
    return did_you_mean(parts[-1] or key, names)


def _inner(data: Any, path: Sequence[str]) -> dict[str, Any]:
    """The fields at `path` inside of `data`; none where there are none."""
    for part in path:
        data = data.get(part) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def _near_knobs(role: str, knob: str, search: Sequence[Path]) -> str:
    """Where a knob of a variant that is not pinned can be set, or the nearest knobs of the role."""
    variants = {name: catalog.read(search, f"model/{role}", name) for name in catalog.options(search, f"model/{role}")}
    having = [name for name, variant in variants.items() if knob in (variant.get("knobs") or {})]
    if having:
        return f"It is a knob of {', '.join(having)}: pin one, as in model/{role}={having[0]}."
    return did_you_mean(knob, {str(name) for variant in variants.values() for name in variant.get("knobs") or {}})
