"""Tables of inputs: a .csv or .jsonl file with one row an item becomes files and settings. Probes and decodes nothing."""

from __future__ import annotations

import csv
import io
import json
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pipelines.inputs.lyrics import read_lyrics
from pipelines.schema.errors import TaskFailed, UsageError

SUFFIXES = (".csv", ".jsonl")
#: Larger tables are refused before they are read: a row is a line of words, not a file's content.
MOST_BYTES = 256 << 20

#: Columns that everybody may use; a node may read others.
_COLUMNS = {"input", "audio", "text", "name", "voice", "voice_text", "lyrics", "language", "artist", "title", "year", "genre",
            "translations", "dub_language"}  # fmt: skip

Row = tuple[Path | None, dict[str, Any]]


def read_table(path: Path) -> list[Row]:
    """Rows of a table: the columns `input` (or `audio`) and `voice` name files beside the table, `lyrics` a file or the words
    themselves; the others are the item's settings.

    Raises `UsageError` for what is no table, `TaskFailed` for a row whose file is missing.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(f"The table {path} is larger than {MOST_BYTES >> 20} MiB. Split it.")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The table {path} cannot be read as UTF-8 text: {error}.") from None
    parse = _csv if path.suffix.lower() == ".csv" else _jsonl
    rows = [_row(path, f"{path.name}, row {number}", row) for number, row in enumerate(parse(path, text), start=1)]
    if not rows:
        raise UsageError(f"The table {path} has no rows.")
    return rows


def _row(table: Path, where: str, row: dict[str, Any]) -> Row:
    settings = {key: value for key, value in row.items() if key and value not in (None, "")}
    for key in settings.keys() - _COLUMNS:
        if near := get_close_matches(key, _COLUMNS - settings.keys(), 1, 0.8):
            raise UsageError(f"{where}: there is no column {key!r}. Did you mean {near[0]!r}?")
    for key in ("input", "audio", "voice", "name", "text"):
        if key in settings and isinstance(settings[key], list | dict | bool):
            raise UsageError(f"{where}: {key} must be text, not {settings[key]!r}.")
        if key in settings:
            settings[key] = str(settings[key])
    named = settings.pop("input", None) or settings.pop("audio", None)
    if "voice" in settings:
        settings["voice"] = str(_beside(table, where, settings["voice"]))
    if "lyrics" in settings and _is_file(table.parent / str(settings["lyrics"])):
        settings["lyrics"] = read_lyrics(table.parent / str(settings["lyrics"]))
    return (_beside(table, where, named) if named else None), settings


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long for a name, or with a NUL in it: words
        return False


def _beside(table: Path, where: str, name: str) -> Path:
    if not _is_file(table.parent / name):
        raise TaskFailed(f"{where}: there is no file {name!r} beside the table.")
    return (table.parent / name).resolve()


def _csv(path: Path, text: str) -> list[dict[str, Any]]:
    """Cells may hold commas, line breaks and long texts when quoted; spreadsheets that write semicolons are understood."""
    head = text.partition("\n")[0]
    separator = next((mark for mark in ",;\t" if mark in head), ",")
    csv.field_size_limit(max(len(text), 131072))
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        rows = [dict(row) for row in reader]
    except csv.Error as error:
        raise UsageError(f"{path.name}, line {reader.line_num} is not CSV: {error}.") from None
    for number, row in enumerate(rows, start=1):
        if None in row:
            raise UsageError(
                f"{path.name}, row {number} has more cells than the first line has names. "
                f'Put "quotes" around a cell that holds {separator!r}.'
            )
    return rows


def _jsonl(path: Path, text: str) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{path.name}, line {number} is not JSON: {error}.") from None
            if not isinstance(row, dict):
                raise UsageError(f"{path.name}, line {number} must be an object with named fields.")
            rows.append(row)
    return rows
