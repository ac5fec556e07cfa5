"""Reading JSON that may come from a stranger: strict about types, kind about messages. Every fault is an `InvalidError`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from pipelines.schema.errors import InvalidError, UsageError, did_you_mean
from pipelines.schema.units import MAX_BYTES

#: A million tasks is about 200 MB of JSON; beyond this a file is a mistake, and is refused before it is read.
MAX_FILE_BYTES = 512 * 1024**2


def read_json(path: Path) -> Any:
    """The JSON value in `path`. Refuses missing, oversized, binary and repeated-key files with a sentence."""
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise UsageError(f"{path} is a folder; name a JSON file.")
        if size > MAX_FILE_BYTES:
            raise InvalidError(
                f"{path} is {size / 1024**2:,.0f} MiB; files over {MAX_FILE_BYTES // 1024**2} MiB are not read."
            )
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"There is no file {path}.") from None
    except UnicodeDecodeError:
        raise InvalidError(f"{path} is not UTF-8 text, so it is not JSON.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from None
    return parse_json(text, str(path))


def parse_json(text: str, where: str) -> Any:
    """The JSON value in `text`; `where` names it in messages. NaN, Infinity and repeated keys are faults."""
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        if "\\u" in text:  # half of a pair is no character: it can be neither shown nor written
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except RecursionError:
        raise InvalidError(f"{where} is nested too deeply to be read.") from None
    except ValueError as error:
        raise InvalidError(f"{where} is not valid JSON: {error}.") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number here")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        repeated = _first_repeated(key for key, _ in pairs)
        raise ValueError(f"the key {repeated!r} stands twice in one object")
    return result


def _first_repeated(names: Iterable[str]) -> str:
    """The first name met a second time, in linear time: whoever wrote the file may want it to be slow."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    raise ValueError("no name stands twice")


class Reader:
    """One JSON object being read, with its place for messages (`tasks[3]`). Keys not asked for are faults at `close`."""

    __slots__ = ("_data", "_seen", "where")

    def __init__(self, data: Any, where: str) -> None:
        if not isinstance(data, Mapping):
            raise InvalidError(f"{where} must be an object with named fields, not {_kind(data)}.")
        self._data, self.where, self._seen = data, where, {"schema"}

    def has(self, key: str) -> bool:
        """Whether `key` is present."""
        return key in self._data

    def get(self, key: str, default: Any = ...) -> Any:
        """The raw value of `key`, or `default`; a fault where there is neither."""
        self._seen.add(key)
        if key in self._data:
            return self._data[key]
        if default is ...:
            raise InvalidError(f"{self.where} has no {key!r}; it is required.")
        return default

    def text(self, key: str, default: Any = ...) -> str:
        """A string of at least one character."""
        if value := self.any_text(key, default, "a non-empty string"):
            return value
        raise InvalidError(f"{self.where}.{key} must be a non-empty string, not {_kind(value)}.")

    def any_text(self, key: str, default: Any = ..., wanted: str = "a string") -> str:
        """A string, possibly empty."""
        value = self.get(key, default)
        if not isinstance(value, str):
            raise InvalidError(f"{self.where}.{key} must be {wanted}, not {_kind(value)}.")
        return value

    def flag(self, key: str, default: Any = ...) -> bool:
        """True or false."""
        value = self.get(key, default)
        if not isinstance(value, bool):
            raise InvalidError(f"{self.where}.{key} must be true or false, not {_kind(value)}.")
        return value

    def count(self, key: str, default: Any = ..., least: int = 0, most: int = MAX_BYTES) -> int:
        """A whole number in [least, most]."""
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidError(f"{self.where}.{key} must be a whole number, not {_kind(value)}.")
        if not least <= value <= most:
            raise InvalidError(f"{self.where}.{key} is {value}; it must be between {least} and {most}.")
        return value

    def seconds(self, key: str, default: Any = ...) -> float:
        """A finite number of seconds, at least 0."""
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InvalidError(f"{self.where}.{key} must be a number of seconds, not {_kind(value)}.")
        if not math.isfinite(value) or not 0 <= value <= 1e12:
            raise InvalidError(f"{self.where}.{key} is {value}; it must be a finite number of seconds, at least 0.")
        return float(value)

    def names(self, key: str, default: Any = ...) -> tuple[str, ...]:
        """A list of strings used as a set: sorted, repeats refused."""
        value = self.get(key, default)
        if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
            raise InvalidError(f"{self.where}.{key} must be a list of names, not {_kind(value)}.")
        if len(set(value)) != len(value):
            raise InvalidError(f"{self.where}.{key} names {_first_repeated(value)!r} twice.")
        return tuple(sorted(value))

    def close(self) -> None:
        """Refuse fields nobody asked for, so that a misspelt optional field is not silently its default."""
        for key in self._data:
            if key not in self._seen:
                raise InvalidError(f"{self.where} has an unknown field {key!r}. {did_you_mean(str(key), self._seen)}")


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, str | bool | int | float):
        return repr(value)
    return "a list" if isinstance(value, list) else "an object"
