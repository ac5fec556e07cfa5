"""A small model on a hub, and hubs that do not answer, for the tests of fetching."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

from pipelines.schema.config import Variant
from pipelines.schema.weights import Source
from pipelines.weights import read_spec
from pipelines.weights.fetch import fetch
from pipelines.weights.hub import Listing, RemoteFile
from pipelines.weights.huggingface import HuggingFace
from tests.weights.hub_server import COMMIT, FakeHub

MODEL = bytes(range(256)) * 12_000  # 3 MB: several blocks
CONFIG = b'{"width": 8}'
REPO = {"model.bin": MODEL, "config.json": CONFIG, "vocabulary.json": b"[]", "README.md": b"# not a weight"}


def variant(**weights: object) -> Variant:
    given = {"folder": "tiny", "hub": "owner/tiny", "files": ["model.bin", "config.json", "vocabulary.*"], **weights}
    weights = read_spec({key: value for key, value in given.items() if value is not None}, "transcribe/tiny")
    return Variant("transcribe/tiny", "transcribe", "x", weights=weights)


def get(one: Variant, home: Path, hub: FakeHub, **rest: object) -> Path:
    return fetch(one, home, HuggingFace(hub.url), pause=lambda seconds: None, **rest)  # type: ignore[arg-type]


class Unreachable:
    def listing(self, source: Source) -> Listing:
        raise AssertionError("was asked")

    def blocks(self, source: Source, commit: str, name: str, start: int) -> Iterator[bytes]:
        raise AssertionError("was asked")


class Listed(Unreachable):
    def __init__(self, files: tuple[RemoteFile, ...]) -> None:
        self.files = files

    def listing(self, source: Source) -> Listing:
        return Listing(COMMIT, self.files)


class Full(Unreachable):
    def listing(self, source: Source) -> Listing:
        return Listing(COMMIT, tuple(RemoteFile(name, 8) for name in ("model.bin", "config.json", "vocabulary.json")))

    def blocks(self, source: Source, commit: str, name: str, start: int) -> Iterator[bytes]:
        yield b"1234"
        raise OSError(errno.ENOSPC, "No space left on device")
