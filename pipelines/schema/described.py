"""How a JSON format is described: fields with their type and meaning, as a JSON Schema and as a Markdown table.

The formats themselves stand in `schema.formats`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.schema.units import MAX_BYTES

Fragment = Mapping[str, Any]

TEXT: Fragment = {"type": "string", "minLength": 1}
ANY_TEXT: Fragment = {"type": "string"}
FLAG: Fragment = {"type": "boolean"}
BYTES: Fragment = {"type": "integer", "minimum": 0, "maximum": MAX_BYTES}
COUNT: Fragment = {"type": "integer", "minimum": 0, "maximum": MAX_BYTES}
SECONDS: Fragment = {"type": "number", "minimum": 0, "maximum": 1e12}
POSITIVE: Fragment = {"type": "number", "minimum": 0}
DIGEST: Fragment = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
NAMES: Fragment = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
TEXTS: Fragment = {"type": "array", "items": {"type": "string"}}
OBJECT: Fragment = {"type": "object"}


def nullable(fragment: Fragment) -> Fragment:
    """The same, or null."""
    return {"anyOf": [fragment, {"type": "null"}]}


def one_of(*values: str) -> Fragment:
    """One of these words."""
    return {"enum": list(values)}


def mapping(fragment: Fragment) -> Fragment:
    """An object whose values are all of one kind."""
    return {"type": "object", "additionalProperties": fragment}


def array(fragment: Fragment) -> Fragment:
    """A list whose entries are all of one kind."""
    return {"type": "array", "items": fragment}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a JSON object. meaning: what its value says, unit included. default: of a field that may be left out."""

    name: str
    value: Fragment
    meaning: str
    required: bool = True
    default: Any = None


@dataclass(frozen=True, slots=True)
class Record:
    """A JSON object with named fields. closed: a field that is not listed is a fault, otherwise it is ignored."""

    title: str
    fields: tuple[Field, ...]
    closed: bool = False

    def schema(self) -> dict[str, Any]:
        """As a JSON Schema."""
        properties = {field.name: _property(field) for field in self.fields}
        required = [field.name for field in self.fields if field.required]
        closed = {"additionalProperties": False} if self.closed else {}
        return {"type": "object", "properties": properties, "required": required, **closed}

    def table(self) -> str:
        """As a Markdown table."""
        rows = [f"| `{f.name}` | {_kind(f.value)} | {_presence(f)} | {f.meaning} |" for f in self.fields]
        return "\n".join(["| field | type | required | meaning |", "| --- | --- | --- | --- |", *rows])


@dataclass(frozen=True, slots=True)
class Format:
    """A file format. name: the value of its field `schema`, where it has one. parts: the records inside that have tables of their own."""

    name: str
    whole: Record
    parts: tuple[Record, ...] = ()

    def schema(self) -> dict[str, Any]:
        """The JSON Schema (draft 2020-12) of a whole file, or of one line where the file is a list of lines."""
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": self.name, **self.whole.schema()}

    @property
    def file_name(self) -> str:
        """The name of its schema file: `problem-1.schema.json` for `headroom/problem/1`."""
        return self.name.partition("/")[2].replace("/", "-") + ".schema.json"


def _property(field: Field) -> dict[str, Any]:
    default = {} if field.required or field.default is None else {"default": field.default}
    return {**field.value, "description": field.meaning, **default}


def _presence(field: Field) -> str:
    if field.required:
        return "yes"
    return "no" if field.default is None else f"no, `{json.dumps(field.default)}`"


_BY_IDENTITY = {id(BYTES): "bytes", id(SECONDS): "seconds", id(DIGEST): "SHA-256", id(COUNT): "integer"}


def _kind(value: Fragment) -> str:
    """The type of a field in words."""
    if name := _BY_IDENTITY.get(id(value)):
        return name
    if choices := value.get("anyOf"):
        return " or ".join(map(_kind, choices))
    if "const" in value:
        return f"`{value['const']}`"
    if words := value.get("enum"):
        return ", ".join(f"`{word}`" for word in words)
    return _container(value) or str(value.get("type", "anything"))


def _container(value: Fragment) -> str:
    """Lists and objects whose entries are all of one kind, in words; "" for anything else."""
    if value.get("type") == "array":
        return f"list of {_kind(value['items'])}" if value["items"].keys() - {"oneOf"} else "list of object"
    inner = value.get("additionalProperties")
    return f"object of {_kind(inner)}" if isinstance(inner, Mapping) else ""
