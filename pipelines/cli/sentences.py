"""Hydra's and OmegaConf's complaints as sentences of ours: the thing, the nearest valid names, the next step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.cli import catalog
from pipelines.schema.errors import UsageError, did_you_mean

#: The file of the shipped tree that holds the plain settings; `config.yaml` of a user's own folder may begin with it.
ROOT_CONFIG = "base"


class sentences:  # noqa: N801 - reads as a phrase: `with sentences(search):`
    """Turns Hydra's and OmegaConf's exceptions into `UsageError`. search: config folders, first wins."""

    def __init__(self, search: Sequence[Path]) -> None:
        self._search = search

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        from hydra.errors import HydraException
        from omegaconf.errors import OmegaConfBaseException
        from yaml import YAMLError

        if isinstance(
            error, (HydraException, OmegaConfBaseException, YAMLError, ValueError)
        ):  # bytes that are no text, too
            raise UsageError(sentence(error, self._search)) from None


def sentence(error: Exception, search: Sequence[Path]) -> str:
    """What a person can do about `error`."""
    from hydra.errors import MissingConfigException

    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        return f"There is no {group or 'config'} {name!r}. {did_you_mean(name, error.options)}"
    text = " ".join(str(error).split())
    missing = re.search(r"You must specify '(\w+)', e\.g, \w+=<OPTION>\s*(?:Available options: (.*))?", text)
    if missing:
        known = f" Known: {', '.join(sorted((missing[2] or '').split()))}." if missing[2] else ""
        return f"Say which {missing[1]}, for example {missing[1]}=NAME.{known}"
    if said := _shape(text, search):
        return said
    unknown = re.search(r"Could not override '([^']+)'\. To append|Key '([^']+)' is not in struct", text)
    if unknown:
        key = unknown[1] or unknown[2]
        return f"There is no setting {key!r}. {_near_keys(key, search)} (A new key is added with a leading +.)"
    absent = re.search(r"Could not override '([^']+)'\. No match in the defaults list", text)
    if absent:
        return f"There is no config group {absent[1]!r}. {did_you_mean(absent[1], groups(search))}"
    return text if text.endswith((".", "!", "?")) else text + "."


def _shape(text: str, search: Sequence[Path]) -> str | None:
    """The sentence for what Hydra could not read or find at all."""
    shapeless = re.search(r"(?:Error parsing override '(.*?)'|LexerNoViableAltException: (.*?)) (.*?) See https", text)
    if shapeless:
        given = shapeless[1] or shapeless[2]
        hint = "Overrides are KEY=VALUE; quote a value with spaces or special characters twice, KEY=\"'a value'\"."
        return f"{given!r} cannot be read as an override ({shapeless[3].strip(' .')}). {hint}"
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


def _near_keys(key: str, search: Sequence[Path]) -> str:
    """Nearest valid keys to a misspelt one, from the root config and the group names."""
    if "/" in key:
        return did_you_mean(key, groups(search))
    root = catalog.read(search, "", ROOT_CONFIG) if ROOT_CONFIG in catalog.options(search, "") else {}
    names = [name for name in root if name not in ("defaults", "hydra")] + groups(search)
    head, _, last = key.rpartition(".")
    if head:
        group = head.replace(".", "/")
        options: list[dict[str, Any]] = [catalog.read(search, group, name) for name in catalog.options(search, group)]
        names = sorted({str(name) for option in options for name in option}) or names
    return did_you_mean(last or key, names)
