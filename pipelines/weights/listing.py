"""Which files of which repositories make a model: a variant's patterns matched with what a hub lists."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.schema.errors import TaskFailed
from pipelines.schema.weights import Source, WeightsSpec
from pipelines.weights.hub import Hub, RemoteFile
from pipelines.weights.patterns import matching, unmatched


@dataclass(frozen=True, slots=True)
class WantedFile:
    """One file to fetch.

    Attributes
    ----------
    source, commit : the repository, and its commit that was listed.
    remote : the file's name in the repository.
    name : the file's name below the weights folder.
    size : bytes.
    sha256 : hex, by the variant's file, else by the hub; None where neither says.
    blob : the name git gives to the bytes, by which hubs list small files; None where the hub gives none.
    """

    source: Source
    commit: str
    remote: str
    name: str
    size: int
    sha256: str | None
    blob: str | None = None

    def part(self, folder: Path) -> Path:
        """Where its bytes gather: named by their digest, so that another revision's are never resumed."""
        path = folder / self.name
        return path.with_name(f"{path.name}.{(self.sha256 or self.blob or self.commit)[:8]}.part")

    def is_right(self, path: Path, digest: str) -> bool:
        """Whether the file at `path`, of SHA-256 `digest`, is this one, as far as its size and digest are known."""
        if path.stat().st_size != self.size:
            return False
        if self.sha256 is not None:
            return digest == self.sha256
        return self.blob is None or git_blob(path) == self.blob


def wanted_files(spec: WeightsSpec, hub: Hub) -> list[WantedFile]:
    """Every file to fetch for `spec`, in the order of its sources, then by name.

    Raises `TaskFailed` where a pattern matches nothing or a name leads out of the folder, and as `Hub.listing` does.
    """
    return [file for source in spec.sources for file in _of_source(source, hub, spec)]


def git_blob(path: Path) -> str:
    """The SHA-1, in hex, by which git names a file's bytes. Raises `OSError`."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _of_source(source: Source, hub: Hub, spec: WeightsSpec) -> Iterator[WantedFile]:
    listing = hub.listing(source)
    prefix = f"{source.subfolder}/" if source.subfolder else ""
    found = {file.name.removeprefix(prefix): file for file in listing.files if file.name.startswith(prefix)}
    absent = unmatched(found, source.files)
    if absent or not source.files:
        raise TaskFailed(
            f"{source.repo} has no {', '.join(absent) or 'files that were named'} (at {listing.commit[:12]})."
        )
    for name in matching(found, (*source.files, *source.optional)):
        _refuse_outside(name, source)
        yield _wanted(found[name], f"{source.into}/{name}" if source.into else name, source, listing.commit, spec)


def _wanted(file: RemoteFile, name: str, source: Source, commit: str, spec: WeightsSpec) -> WantedFile:
    return WantedFile(source, commit, file.name, name, file.size, spec.sha256.get(name) or file.sha256, file.blob)


def _refuse_outside(name: str, source: Source) -> None:
    if name.startswith(("/", ".")) or ".." in name.split("/") or "\\" in name:
        raise TaskFailed(f"{source.repo} names {name!r}, which is outside its folder or hidden; nothing was fetched.")
