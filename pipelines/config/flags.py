"""Hydra's flags and overrides as the command line has them: quoted for Hydra's grammar, variables of the environment put first."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from pipelines.config.catalog import conf_dir
from pipelines.config.suggestions import is_there, no_flag, not_a_setting
from pipelines.schema.errors import UsageError

#: Values of these keys are quoted for Hydra, so that names with spaces, commas and accents work as typed.
QUOTED = ("input", "text", "lyrics", "voice", "artist", "title", "weights_dir", "outputs_dir", "translations", "genre")
#: Words that Hydra's grammar reads as something else than a text.
_NO_TEXTS = ("true", "false", "null", "nan", "inf")
_OVERRIDE = re.compile(r"^([+~]{0,2})([A-Za-z_][\w./@-]*)=(.*)$", re.DOTALL)


def parse_hydra_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """Hydra's own flags and the overrides among `arguments`. Unknown flags are a `UsageError`."""
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]  # argparse would print Hydra's usage and exit
    flags, unknown = parser.parse_known_intermixed_args([quote(argument) for argument in arguments])
    search = [*([Path(flags.config_dir)] if flags.config_dir else []), conf_dir()]
    strange = [argument for argument in unknown if argument.startswith("-")]
    if strange:
        known = [option for action in parser._actions for option in action.option_strings]
        raise UsageError(no_flag(strange[0], known, search))
    for index, word in enumerate(flags.overrides):
        if "=" not in word and not word.startswith("~"):
            typed = {quote(argument): argument for argument in arguments}
            raise UsageError(not_a_setting([typed.get(each, each) for each in flags.overrides], index, search))
    flags.overrides = [*from_environment(flags.overrides), *map(_as_listed, flags.overrides)]
    return flags


def _refuse(message: str) -> NoReturn:
    raise UsageError(f"{message[:1].upper()}{message[1:]}. See `headroom --help`.")


def _as_listed(override: str) -> str:
    """`+experiment=x`, as Hydra's own pages have it; our defaults list the group already, and then Hydra wants no plus."""
    return override.lstrip("+") if override.lstrip("+").startswith("experiment=") else override


def from_environment(given: Sequence[str]) -> tuple[str, ...]:
    """Overrides that stand for the environment's variables, and for those of a `.env` file in this folder."""
    from pipelines.config.variables import overrides, read_dotenv

    return overrides(os.environ, read_dotenv(Path(".env")), given)


def quote(argument: str) -> str:
    """Quote the value of a free-text override for Hydra's grammar; leave lists, quotes already there and the rest alone."""
    match = _OVERRIDE.match(argument)
    if match is None or match[2] not in QUOTED:
        return argument
    value = match[3]
    listed = value[:1] + value[-1:] in ("[]", "''", '""')
    if value in ("", "null") or (listed and not is_there(value)):
        return argument
    return f"{match[1]}{match[2]}={quoted(value)}"


def quoted(text: str) -> str:
    """`text` in single quotes as Hydra's grammar reads it: quotes escaped, backslashes before them and at the end doubled."""
    escaped = re.sub(r"(\\*)'", lambda found: found[1] * 2 + "\\'", text).replace("${", "\\${")
    trailing = re.search(r"\\+$", escaped)
    return f"'{escaped}{trailing[0] if trailing else ''}'"


def override(key: str, value: Any) -> str:
    """`key=value` in Hydra's grammar, whatever signs a text holds.

    >>> override("input", ["a b.ogg", "c.ogg"]), override("tier.streams", 2), override("seed", None)
    ("input=['a b.ogg',c.ogg]", 'tier.streams=2', 'seed=null')
    """
    return f"{key}={_in_grammar(value)}"


def _in_grammar(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{_in_grammar(each)}" for name, each in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(map(_in_grammar, value)) + "]"
    text = str(value)
    is_plain = re.fullmatch(r"[A-Za-z_/.][\w./-]*", text) and text.lower() not in _NO_TEXTS
    return text if is_plain else quoted(text)
