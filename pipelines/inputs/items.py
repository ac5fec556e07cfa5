"""Items for a run: what `input=` and `text=` name, with unique names and settings, their headers probed, nothing decoded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.inputs.find import find_rows, refuse_missing
from pipelines.inputs.probe import probe
from pipelines.inputs.tables import Row
from pipelines.schema.config import Item
from pipelines.schema.errors import TaskFailed, UsageError
from pipelines.schema.names import safe_name

#: Settings that name a file, which a node opens by itself.
FILES = ("voice", "translations", "cover")


@dataclass(frozen=True)
class FoundItems:
    """What was found to work on. unreadable: by the name it would have had, why a row's files cannot be read."""

    items: tuple[Item, ...]
    unreadable: Mapping[str, TaskFailed] = field(default_factory=dict)


def find_items(
    spec: Any, text: Any, shared: Mapping[str, Any], ports: Mapping[str, str], *, keep_going: bool = False
) -> FoundItems:
    """Items for a run, in a stable order, with unique names that are safe as folder names.

    Parameters
    ----------
    spec, text : the values of `input=` and `text=`.
    shared : settings that every item starts from (lyrics, language...). A row's own come before them.
    ports : what the pipeline takes from an item (`audio`, `text`, ...) -> its type.
    keep_going : go on without the rows whose files cannot be read.

    Raises
    ------
    UsageError : nothing is named, or a row lacks what the pipeline takes.
    TaskFailed : a file cannot be read; with `keep_going`, none can.
    """
    taken: dict[str, int] = {}
    items, unreadable = [], dict[str, TaskFailed]()
    for path, own in _rows(spec, text, ports):
        settings = _merged(shared, {"text": text if text is None else str(text)}, own)
        name = _unique(safe_name(_stem(path, settings, own)), taken)
        try:
            _check_ports(name, path, settings, ports)
            items.append(_item(name, path, settings))
        except TaskFailed as error:
            if not keep_going:
                raise
            unreadable[name] = error
    if not items:
        raise TaskFailed("\n".join(map(str, unreadable.values())))
    return FoundItems(tuple(items), unreadable)


def sequence_of(items: Sequence[Item]) -> str:
    """`song` or `12 items`, for headings."""
    return items[0].name if len(items) == 1 else f"{len(items)} items"


def _rows(spec: Any, text: Any, ports: Iterable[str]) -> list[Row]:
    if text is not None and not isinstance(text, str | int | float):
        raise UsageError(
            f"text={text} is not one text. Put several into a .jsonl table, a row each, and name it with input=."
        )
    rows = list(find_rows(spec)) or ([] if text is None else [(None, {})])
    if not rows:
        raise UsageError(f"There is nothing to work on: add {_wanted(ports)}.")
    return rows


def _wanted(ports: Iterable[str]) -> str:
    if "audio" in ports:
        return "input=FILE (a sound file, a glob, a folder, or a .csv or .jsonl table)"
    return 'text="...", or input=TABLE (.csv or .jsonl, with a column `text`)'


def _merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by name, a later layer's before an earlier one's; those that are None are left out."""
    merged = {key: value for layer in layers for key, value in layer.items()}
    return {key: value for key, value in merged.items() if value is not None}


def _stem(path: Path | None, settings: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """What an item is named after: its row's `name`, else its file, else the first words of its text."""
    if own.get("name"):
        return str(own["name"])
    return path.stem if path else "-".join(re.findall(r"\w+", settings.get("text", ""))[:5]) or "text"


def _unique(name: str, taken: dict[str, int]) -> str:
    key = name.casefold()
    taken[key] = taken.get(key, 0) + 1
    if taken[key] == 1:
        return name
    return _unique(f"{name}-{taken[key]}", taken)


def _check_ports(name: str, path: Path | None, settings: Mapping[str, Any], kinds: Mapping[str, str]) -> None:
    """What the pipeline takes from an item is there, before anything is planned for it."""
    if "audio" in kinds and path is None:
        raise UsageError(f"{name} has no sound, and this pipeline takes some: add {_wanted(kinds)}.")
    if "text" in kinds and settings.get("text") is None:
        raise UsageError(f"{name} has no text, and this pipeline takes one: add {_wanted(kinds)}.")
    for port, kind in kinds.items():
        if port not in ("audio", "text") and settings.get(port):
            refuse_missing(port, str(settings[port]))
            if kind == "audio":
                probe(Path(str(settings[port])).expanduser())
    if settings.get("translations"):  # read in the middle of a run, so looked for before it
        refuse_missing("translations", str(settings["translations"]))


def _item(name: str, path: Path | None, settings: Mapping[str, Any]) -> Item:
    characters = len(str(settings.get("text", "")))
    if path is None:
        return Item(name=name, characters=characters, settings=dict(settings))
    header = probe(path)
    return Item(name, str(path), header.seconds, header.channels, characters, dict(settings))
