"""The plain settings of `conf/base.yaml` (seed, language, offline, ...): each checked once, so that nothing below meets a surprise."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.schema.errors import UsageError

_LANGUAGE = re.compile(r"^[a-z]{2,3}([-_][A-Za-z0-9]{2,8})*$")


def read_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values. Raises `UsageError` naming the setting, what it was given and what it takes."""
    for key, (fits, wanted) in KINDS.items():
        if values.get(key) is not None and not fits(values[key]):
            raise UsageError(f"{key}={values[key]} cannot be: {key} is {wanted}.")
    for key in ("seed", "outputs_dir"):
        if key in values and values[key] in (None, ""):
            raise UsageError(f"{key}= needs a value: it is {KINDS[key][1]}.")
    return dict(values)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _word(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


def _language(value: Any) -> bool:
    return isinstance(value, str) and bool(_LANGUAGE.match(value))


_FOLDER = (_word, "the name of a folder")
_FILE = (_word, "the name of a file")
_TEXT = (_word, "a text")
_SWITCH = (lambda value: isinstance(value, bool), "true or false")
_ISO = (_language, "an ISO 639 code such as en, pt or zh")
#: Setting -> (whether a value fits, what it is in words).
KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "seed": (_whole, "a whole number from 0"),
    "language": _ISO,
    "dub_language": _ISO,
    "lyrics": _FILE,
    "voice": _FILE,
    "translations": _FILE,
    "artist": _TEXT,
    "title": _TEXT,
    "genre": _TEXT,
    "year": _TEXT,
    "weights_dir": _FOLDER,
    "outputs_dir": _FOLDER,
    "offline": _SWITCH,
    "memory_plot": _SWITCH,
    "accept_licence": (_words, "a list of variants, accept_licence=[xtts]"),
}
