"""The manifest beside fetched weights, which has the digest of each file, and the comparison of files with it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.files import sha256_of
from pipelines.schema.weights import WeightsSpec
from pipelines.weights.spec import names_in

NAME = ".headroom-weights.json"
SCHEMA = "headroom/weights/1"
_SHA256 = re.compile(r"^[0-9a-f]{64}$")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was fetched. sources: repository -> commit. sha256: file -> digest, as computed here."""

    variant: str
    sources: Mapping[str, str] = field(default_factory=dict)
    sha256: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """As written beside the weights."""
        body = {"schema": SCHEMA, "variant": self.variant, "sources": dict(self.sources), "sha256": dict(self.sha256)}
        return json.dumps(body, indent=1, sort_keys=True) + "\n"


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest in `folder`, None where there is none that can be read."""
    try:
        data: Any = json.loads((folder / NAME).read_text(encoding="utf-8"))
        if data["schema"] != SCHEMA:
            return None
        digests = {str(name): str(digest) for name, digest in data["sha256"].items()}
        sources = {str(repo): str(commit) for repo, commit in data["sources"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    good = all(_SHA256.match(digest) for digest in digests.values())
    return Manifest(str(data.get("variant", "")), sources, digests) if good else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """One file. state: `ok`, `differs`, `missing`, or `unrecorded` where no digest of it is known. found, expected: hex."""

    name: str
    state: str
    found: str = ""
    expected: str = ""


def verify(place: Path, spec: WeightsSpec) -> list[Verdict]:
    """Every file of a model read anew (no cache) and compared: with the variant's file first, then the manifest.

    Raises `OSError` where a file cannot be read.
    """
    recorded = read_manifest(place) if place.is_dir() else None
    expected = {**(recorded.sha256 if recorded else {}), **spec.sha256}
    if place.is_file():
        return [_verdict(place.name, place, expected.get(place.name, ""))]
    names = sorted({*names_in(spec, place), *expected})
    return [_verdict(name, place / name, expected.get(name, "")) for name in names]


def _verdict(name: str, path: Path, expected: str) -> Verdict:
    if not path.is_file():
        return Verdict(name, "missing", expected=expected)
    found = sha256_of(path)
    if not expected:
        return Verdict(name, "unrecorded", found)
    return Verdict(name, "ok" if found == expected else "differs", found, expected)
