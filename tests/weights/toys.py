"""A variant with the weights a test names, and files to be its weights."""

from __future__ import annotations

from pathlib import Path

from pipelines.schema.config import Variant
from pipelines.weights import read_spec


def variant(name: str = "speak/toy", requires: tuple[str, ...] = (), **weights: object) -> Variant:
    return Variant(name, name.partition("/")[0], "x", weights=read_spec(weights, name), requires=requires)


def put(path: Path, data: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
