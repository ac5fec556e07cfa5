"""A place that weights are fetched from: the interface that fetching needs. Hugging Face's is in `huggingface`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from pipelines.schema.errors import HeadroomError
from pipelines.schema.weights import Source


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository, of `size` bytes. sha256: hex, None where the hub has none (small files). blob: git's own name."""

    name: str
    size: int
    sha256: str | None = None
    blob: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """What a repository holds at one commit."""

    commit: str
    files: tuple[RemoteFile, ...]


class Hub(Protocol):
    """Where files come from. Both methods raise `SurroundingsFailed` where it cannot be reached, `TaskFailed` where it refuses."""

    def listing(self, source: Source) -> Listing:
        """The files of `source.repo` at its revision."""

    def blocks(self, source: Source, commit: str, name: str, start: int) -> Iterator[bytes]:
        """The bytes of a file from `start` on. Where the server cannot begin there, raises `CannotResume`."""


class CannotResume(HeadroomError):
    """The server gives whole files only; the caller begins anew."""
