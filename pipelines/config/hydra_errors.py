"""Hydra's and OmegaConf's complaints as sentences of ours: the thing, the nearest valid names, the next step."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

from pipelines.config import catalog
from pipelines.config.suggestions import groups, near_keys, not_a_setting
from pipelines.schema.errors import UsageError, did_you_mean


@contextmanager
def readable_errors(search: Sequence[Path], given: Sequence[str] = ()) -> Iterator[None]:
    """Turns Hydra's and OmegaConf's exceptions into `UsageError`. search: config folders, first wins. given: the overrides."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        yield
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:  # bytes that are no text, too
        raise UsageError(sentence(error, search, given)) from None


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
    if reworded := _shape(text, search) or _unknown(text, search):
        return reworded
    return text if text.endswith((".", "!", "?")) else text + "."


def _unknown(text: str, search: Sequence[Path]) -> str | None:
    """The sentence for a key or a group that is not there."""
    unknown = re.search(r"Could not override '([^']+)'\. To append|Key '([^']+)' is not in struct", text)
    if unknown:
        key = unknown[1] or unknown[2]
        return f"There is no setting {key!r}. {near_keys(key, search)} (A new key is added with a leading +.)"
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
