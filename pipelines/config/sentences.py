"""Hydra's and OmegaConf's complaints as sentences of ours: the thing, the nearest valid names, the next step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pipelines.config import catalog
from pipelines.schema.errors import UsageError, did_you_mean

#: The file of the shipped tree that holds the plain settings; `config.yaml` of a user's own folder may begin with it.
ROOT_CONFIG = "base"


class sentences:  # noqa: N801 - reads as a phrase: `with sentences(search):`
    """Turns Hydra's and OmegaConf's exceptions into `UsageError`. search: config folders, first wins. given: the overrides."""

    def __init__(self, search: Sequence[Path], given: Sequence[str] = ()) -> None:
        self._search, self._given = search, given

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        from hydra.errors import HydraException
        from omegaconf.errors import OmegaConfBaseException
        from yaml import YAMLError

        if isinstance(
            error, (HydraException, OmegaConfBaseException, YAMLError, ValueError)
        ):  # bytes that are no text, too
            raise UsageError(sentence(error, self._search, self._given)) from None


def sentence(error: Exception, search: Sequence[Path], given: Sequence[str] = ()) -> str:
    """What a person can do about `error`."""
    from hydra.errors import MissingConfigException, OverrideParseException

    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        return f"There is no {group or 'config'} {name!r}. {did_you_mean(name, error.options)}"
    text = " ".join(str(error).split())
    if isinstance(error, OverrideParseException):
        return _unreadable(error.override, text)
    missing = re.search(r"You must specify '(\w+)', e\.g, \w+=<OPTION>\s*(?:Available options: (.*))?", text)
    if missing:
        if near := get_close_matches(missing[1], [override.partition("=")[0] for override in given], 1, 0.7):
            return f"There is no setting {near[0]!r}. Did you mean {missing[1]!r}?"
        known = f" Known: {', '.join(sorted((missing[2] or '').split()))}." if missing[2] else ""
        return f"Say which {missing[1]}, for example {missing[1]}=NAME.{known}"
    if said := _shape(text, search) or _unknown(text, search):
        return said
    return text if text.endswith((".", "!", "?")) else text + "."


def _unknown(text: str, search: Sequence[Path]) -> str | None:
    """The sentence for a key or a group that is not there."""
    unknown = re.search(r"Could not override '([^']+)'\. To append|Key '([^']+)' is not in struct", text)
    if unknown:
        key = unknown[1] or unknown[2]
        return f"There is no setting {key!r}. {_near_keys(key, search)} (A new key is added with a leading +.)"
    absent = re.search(r"Could not override '([^']+)'\. No match in the defaults list", text)
    return f"There is no config group {absent[1]!r}. {did_you_mean(absent[1], groups(search))}" if absent else None


def _shape(text: str, search: Sequence[Path]) -> str | None:
    """The sentence for what Hydra could not find, or takes for a sweep."""
    if several := re.search(r"Ambiguous value for argument '(.*?)' 1\. ", text):
        return (
            f"{several[1]!r} has several values. To run each of them add -m; a list is KEY=[A,B]; "
            "a text with commas is quoted twice, KEY=\"'a, b'\"; a number has a point, 3.5."
        )
    loaded = re.search(r"Could not load '([^']+)'", text)
    if loaded:
        group, _, name = loaded[1].rpartition("/")
        return f"There is no {group or 'config'} {name!r}. {did_you_mean(name, catalog.options(search, group))}"
    if "HydraConfig was not set" in text:
        return (
            "Say which pipeline, for example pipeline=NAME. Known: "
            + ", ".join(catalog.options(search, "pipeline"))
            + "."
        )
    return None


def _unreadable(override: str, text: str) -> str:
    """The sentence for an override that Hydra's grammar does not read."""
    if "=" not in override:
        return not_a_setting([override], 0, [])
    why = re.sub(
        r"^(Error parsing override '.*?'|LexerNoViableAltException:.*?\^) ?| ?See https://\S+ for details$", "", text
    )
    hint = "Check its quotes and brackets; quote a value with spaces or special characters twice, KEY=\"'a value'\"."
    return f"{override!r} cannot be read as an override{f' ({why})' if why else ''}. {hint}"


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


def _near_keys(key: str, search: Sequence[Path]) -> str:
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
