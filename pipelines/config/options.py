"""The plain settings of `conf/base.yaml` (seed, language, offline, ...): what each may be, and the frozen data they become."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipelines.schema.errors import UsageError
from pipelines.schema.fields import FLAG, TEXT, Kind, Reader, choice, names, read_fields, text, whole
from pipelines.schema.settings import MEMORY_MODES, InputOptions, RunOptions, StreamOptions

_LANGUAGE = re.compile(r"^[a-z]{2,3}([-_][A-Za-z0-9]{2,8})*$")


def _language(value: Any) -> str:
    if not isinstance(value, str) or not _LANGUAGE.match(value):
        raise ValueError
    return value


def _stream(value: Any, where: str) -> StreamOptions:
    return StreamOptions(**read_fields(value, {"use": FLAG, "pace": FLAG}, where))


def _input(value: Any, where: str) -> Any:
    return value if isinstance(value, list) else TEXT(value, where)


def _one_text(value: Any, where: str) -> str:
    if not isinstance(value, str | int | float):
        raise UsageError(
            f"{where}={value} is not one text. Put several into a .jsonl table, a row each, and name it with input=."
        )
    return str(value)


_FILE = text("the name of a file")
_FOLDER = text("the name of a folder")
_ISO = Kind("an ISO 639 code such as en, pt or zh", _language)
#: The fields of `RunOptions`.
RUN_OPTIONS: Mapping[str, Reader[Any]] = {
    "seed": whole(0, 2**63 - 1, "a whole number from 0"),
    "memory_mode": choice(*MEMORY_MODES),
    "stream": _stream,
    "offline": FLAG,
    "weights_dir": _FOLDER,
    "accept_licence": names("a list of variants, accept_licence=[xtts]"),
    "memory_plot": FLAG,
    "outputs_dir": _FOLDER,
}
#: Settings that every item starts from; a row of a table may set them anew.
ITEM_SETTINGS: Mapping[str, Reader[Any]] = {
    "lyrics": _FILE,
    "language": _ISO,
    "voice": _FILE,
    "voice_text": TEXT,
    "artist": TEXT,
    "title": TEXT,
    "year": TEXT,
    "genre": TEXT,
    "translations": _FILE,
    "dub_language": _ISO,
}
INPUTS: Mapping[str, Reader[Any]] = {"input": _input, "text": _one_text}
#: Settings that are never null.
_NEEDED = ("seed", "outputs_dir")


def check_options(data: Mapping[str, Any]) -> None:
    """Raise `UsageError` for the first plain setting in `data` that cannot be."""
    read_run_options(data)
    read_inputs(data)


def read_run_options(data: Mapping[str, Any]) -> RunOptions:
    """How the run is done. data: the composed config; keys that are other things' are passed over. Raises `UsageError`."""
    for key in _NEEDED:
        if key in data and data[key] in (None, ""):
            raise UsageError(f"{key}= needs a value, such as {key}={getattr(RunOptions(), key)}.")
    return RunOptions(**_read(data, RUN_OPTIONS))


def read_inputs(data: Mapping[str, Any]) -> InputOptions:
    """What goes in, with the settings every item starts from. data: the composed config. Raises `UsageError`."""
    given = _read(data, INPUTS)
    return InputOptions(given.get("input"), given.get("text"), _read(data, ITEM_SETTINGS))


def _read(data: Mapping[str, Any], table: Mapping[str, Reader[Any]]) -> dict[str, Any]:
    return {key: reader(data[key], key) for key, reader in table.items() if data.get(key) is not None}
