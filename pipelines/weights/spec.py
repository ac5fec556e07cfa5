"""The `weights:` of a variant's file, checked: which files, in which folder, from where, with which digests."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pipelines.schema.errors import UsageError
from pipelines.schema.fields import BYTES, NAMES, Kind, Reader, each, read_fields, text
from pipelines.schema.weights import Source, WeightsSpec
from pipelines.weights.patterns import files_in, matching, unmatched


def read_spec(data: Any, origin: str) -> WeightsSpec | None:
    """The `weights:` of the variant `origin` (`<role>/<name>`), None where it needs none. Raises `UsageError` naming the key."""
    if not data:
        return None
    where = f"model/{origin}.weights"
    given = read_fields(data, _FIELDS, where)
    more = given.get("with", {})
    return WeightsSpec(
        path=given.get("path"),
        folders=tuple(dict.fromkeys((given.get("folder", origin), origin))),
        files=(*given.get("files", ()), *(f"{folder}/*" for folder in more)),
        optional=given.get("optional", ()),
        sources=(
            *([_source(given, "", where)] if "hub" in given else []),
            *(_source(fields, folder, f"{where}.with.{folder}") for folder, fields in more.items()),
        ),
        size=given.get("size"),
        sha256=given.get("sha256", {}),
        tts=given.get("tts"),
        library=given.get("library", ()),
    )


def names_in(spec: WeightsSpec, folder: Path) -> list[str]:
    """Relative names of the model's files in `folder`: those that are named where they are all there, else every file."""
    names = files_in(folder)
    for layout in (spec.files, spec.library):
        if layout and not unmatched(names, layout):
            return matching(names, (*layout, *spec.optional))
    return names


def _source(given: Mapping[str, Any], into: str, where: str) -> Source:
    if "hub" not in given:
        raise UsageError(f"{where} has no hub=OWNER/NAME to fetch from.")
    return Source(
        repo=given["hub"],
        files=given.get("files", ()),
        optional=given.get("optional", ()),
        subfolder=given.get("subfolder", ""),
        revision=given.get("revision"),
        into=into,
    )


def _shaped(pattern: str) -> Callable[[Any], str]:
    """A check that a text has the form of `pattern`."""

    def convert(value: Any) -> str:
        if not re.fullmatch(pattern, str(value)):
            raise ValueError
        return str(value)

    return convert


def _inside(value: Any) -> str:
    """A folder or file below another: relative, without a way up, because files are written there."""
    path = PurePosixPath(value) if isinstance(value, str) else PurePosixPath()
    if path == PurePosixPath() or path.is_absolute() or ".." in path.parts or "\\" in value:
        raise ValueError
    return path.as_posix()


_INSIDE = Kind("a place inside the weights folder", _inside)
_SHA256 = Kind(
    "a SHA-256 digest, which has 64 hexadecimal digits", lambda value: _shaped("[0-9a-f]{64}")(str(value).lower())
)


def _patterns(value: Any, where: str) -> tuple[str, ...]:
    return tuple(_INSIDE(name, where) for name in NAMES(value, where))


def _by_place(reader: Reader[Any]) -> Reader[dict[str, Any]]:
    """Values by the names of places inside the weights folder."""
    read = each(reader)
    return lambda value, where: {_INSIDE(name, where): entry for name, entry in read(value, where).items()}


_SOURCE_FIELDS: Mapping[str, Reader[Any]] = {
    "hub": Kind("OWNER/NAME", _shaped(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")),
    "revision": Kind("a branch, a tag or a commit", _shaped(r"[A-Za-z0-9][\w./-]*")),
    "subfolder": _INSIDE,
    "files": _patterns,
    "optional": _patterns,
}
_FIELDS: Mapping[str, Reader[Any]] = {
    "path": text("a path"),
    "folder": _INSIDE,
    **_SOURCE_FIELDS,
    "with": _by_place(lambda value, where: read_fields(value, _SOURCE_FIELDS, where)),
    "size": BYTES,
    "sha256": _by_place(_SHA256),
    "tts": _INSIDE,
    "library": _patterns,
}
