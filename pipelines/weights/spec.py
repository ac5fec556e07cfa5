"""The `weights:` of a variant's file, checked: which files, in which folder, from where, with which digests."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pipelines.schema.config import Variant
from pipelines.schema.errors import UsageError
from pipelines.schema.fields import BYTES, NAMES, Kind, Reader, each, read_fields, text
from pipelines.weights.patterns import files_in, matching, unmatched


@dataclass(frozen=True, slots=True)
class Source:
    """One repository of a hub.

    Attributes
    ----------
    repo : `OWNER/NAME`.
    files, optional : glob patterns of names under `subfolder`. Each of `files` must match; `optional` may match nothing.
    subfolder : the folder of the repository that holds the files, `""` for its root.
    revision : a branch, a tag or a commit; None for the main branch.
    into : the folder below the weights folder that the files go to, `""` for the folder itself.
    """

    repo: str
    files: tuple[str, ...]
    optional: tuple[str, ...] = ()
    subfolder: str = ""
    revision: str | None = None
    into: str = ""


@dataclass(frozen=True, slots=True)
class WeightsSpec:
    """Which files a variant needs, and where they may be found or fetched.

    Attributes
    ----------
    path : a file or folder named by the user; then nothing else counts.
    folders : folders below the weights folder, in the order they are looked in. Weights are fetched to the first.
    files, optional : glob patterns of relative names. Each of `files` must match; `optional` may match nothing.
    sources : where the files are fetched from.
    size : bytes to fetch, None where not known.
    sha256 : relative name -> digest in hex.
    tts : the folder's name in the data folder of the TTS library.
    library : names of the same files in torch hub's cache.
    """

    path: str | None = None
    folders: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    size: int | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)
    tts: str | None = None
    library: tuple[str, ...] = ()

    def names_in(self, folder: Path) -> list[str]:
        """Relative names of the model's files in `folder`: those that are named where they are all there, else every file."""
        names = files_in(folder)
        for layout in (self.files, self.library):
            if layout and not unmatched(names, layout):
                return matching(names, (*layout, *self.optional))
        return names

    @staticmethod
    def of(variant: Variant) -> WeightsSpec | None:
        """Read from the file of `variant`, None where it needs no weights. Raises `UsageError` naming the key that is wrong."""
        if not variant.weights:
            return None
        where = f"model/{variant.name}.weights"
        given = read_fields(variant.weights, _FIELDS, where)
        more = given.get("with", {})
        return WeightsSpec(
            path=given.get("path"),
            folders=tuple(dict.fromkeys((given.get("folder", variant.origin), variant.origin))),
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
