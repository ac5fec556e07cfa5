"""The `weights:` of a variant's file, checked: which files, in which folder, from where, with which digests."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pipelines.schema.config import Variant
from pipelines.schema.errors import UsageError, did_you_mean
from pipelines.schema.units import parse_bytes

_KEYS = (
    "path",
    "folder",
    "hub",
    "revision",
    "subfolder",
    "files",
    "optional",
    "with",
    "size",
    "sha256",
    "tts",
    "library",
)
_SOURCE_KEYS = ("hub", "revision", "subfolder", "files", "optional")
_REPO = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")
_REVISION = re.compile(r"^[A-Za-z0-9][\w./-]*$")
_SHA256 = re.compile(r"^[0-9a-f]{64}$")


@dataclass(frozen=True, slots=True)
class Source:
    """One repository of a hub. files, optional: glob patterns under its `subfolder`; what `optional` names may be missing.

    into: the folder below the weights folder where its files go, `""` for the folder itself.
    """

    repo: str
    files: tuple[str, ...]
    optional: tuple[str, ...] = ()
    subfolder: str = ""
    revision: str | None = None
    into: str = ""


@dataclass(frozen=True, slots=True)
class Need:
    """What a variant needs. folders: below the weights folder, in the order they are looked in; the first is fetched to.

    path: named explicitly, then nothing else counts. files: patterns that each must match; `optional` need not.
    size: bytes to fetch, where known. sha256: file -> digest. tts: the folder's name in the TTS library's data folder.
    library: files that the torch hub cache would hold.
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
    def of(variant: Variant) -> Need | None:
        """The need of a variant, None where it has none. Raises `UsageError` naming the key that cannot be."""
        data = variant.weights
        if not data:
            return None
        where = f"model/{variant.name}.weights"
        for key in data:
            if key not in _KEYS:
                raise UsageError(f"{where}: there is no setting {key!r}. {did_you_mean(key, _KEYS)}")
        own = variant.origin
        folders = (_inside(data["folder"], f"{where}.folder"), own) if data.get("folder") else (own,)
        first = [_source(data, "", where)] if data.get("hub") else []
        more = _mapping(data.get("with"), f"{where}.with")
        return Need(
            path=None if data.get("path") is None else str(data["path"]),
            folders=tuple(dict.fromkeys(folders)),
            files=(*_patterns(data.get("files"), f"{where}.files"), *(f"{folder}/*" for folder in more)),
            optional=_patterns(data.get("optional"), f"{where}.optional"),
            sources=(*first, *(_source(_mapping(body, where), into, f"{where}.with") for into, body in more.items())),
            size=_size(data.get("size"), f"{where}.size"),
            sha256=_digests(data.get("sha256"), f"{where}.sha256"),
            tts=None if data.get("tts") is None else _inside(data["tts"], f"{where}.tts"),
            library=_patterns(data.get("library"), f"{where}.library"),
        )


def matching(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """The names that a pattern matches or that lie in a folder it matches, sorted.

    >>> matching(["a.bin", "sub/b.bin", "c.txt"], ["*.bin", "sub"])
    ['a.bin', 'sub/b.bin']
    """
    patterns = list(patterns)
    return sorted(name for name in names if any(_matches(name, pattern) for pattern in patterns))


def _matches(name: str, pattern: str) -> bool:
    folders = (str(parent) for parent in PurePosixPath(name).parents)
    return any(fnmatch.fnmatchcase(part, pattern) for part in (name, *folders))


def unmatched(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """The patterns that match no name."""
    known = list(names)
    return [pattern for pattern in patterns if not matching(known, [pattern])]


def files_in(folder: Path) -> list[str]:
    """Relative names of the files in `folder`, with `/`, sorted; hidden ones (caches, manifests) are left out."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts))


def _source(data: Mapping[str, Any], into: str, where: str) -> Source:
    if into:
        for key in data:
            if key not in _SOURCE_KEYS:
                raise UsageError(f"{where}.{into}: there is no setting {key!r}. {did_you_mean(key, _SOURCE_KEYS)}")
    repo, revision = str(data.get("hub")), data.get("revision")
    if not _REPO.match(repo):
        raise UsageError(f"{where}.hub is {repo!r}; it must be OWNER/NAME.")
    if revision is not None and not _REVISION.match(str(revision)):
        raise UsageError(f"{where}.revision is {revision!r}; it must be a branch, a tag or a commit.")
    return Source(
        repo=repo,
        files=_patterns(data.get("files"), f"{where}.files"),
        optional=_patterns(data.get("optional"), f"{where}.optional"),
        subfolder=_inside(data["subfolder"], f"{where}.subfolder") if data.get("subfolder") else "",
        revision=None if revision is None else str(revision),
        into=_inside(into, where) if into else "",
    )


def _inside(value: Any, where: str) -> str:
    """A folder or file below another: relative, without a way up. Files are written there."""
    path = PurePosixPath(str(value))
    if (
        not isinstance(value, str)
        or path.is_absolute()
        or ".." in path.parts
        or "\\" in value
        or path == PurePosixPath(".")
    ):
        raise UsageError(f"{where} is {value!r}; it must name a place inside the weights folder.")
    return path.as_posix()


def _patterns(value: Any, where: str) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else (value or [])
    if not isinstance(names, list):
        raise UsageError(f"{where} must be a list of file names.")
    return tuple(_inside(name, where) for name in names)


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UsageError(f"{where} must hold named fields, not {value!r}.")
    return value


def _size(value: Any, where: str) -> int | None:
    try:
        return None if value is None else parse_bytes(value)
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from None


def _digests(value: Any, where: str) -> dict[str, str]:
    found = {_inside(name, where): str(digest).lower() for name, digest in _mapping(value, where).items()}
    for name, digest in found.items():
        if not _SHA256.match(digest):
            raise UsageError(f"{where}.{name} is no SHA-256 digest: it has 64 hexadecimal digits.")
    return found
