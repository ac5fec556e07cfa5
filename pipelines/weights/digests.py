"""Which bytes weights are: SHA-256 by file and of a whole, remembered per user so that gigabytes are read once."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pipelines.files import sha256_of, write_atomic
from pipelines.paths import user_folders
from pipelines.schema.weights import WeightsSpec
from pipelines.weights.spec import names_in

#: A file changed this recently may change again without its time showing it.
_SETTLED_NS = 2_000_000_000


def digest_of(path: Path | None, spec: WeightsSpec, cache: Path | None = None) -> str:
    """The SHA-256 of the weights at `path` in hex: of a file its own, of a folder that over its sorted names and digests.

    Files that are no part of the model (`names_in`) do not count, so the same weights have the same digest
    wherever they lie. `""` for None and for a place that cannot be read.
    """
    if path is None:
        return ""
    try:
        if path.is_file():
            return file_digest(path, cache)
        names = names_in(spec, path)
        lines = [f"{name}\0{file_digest(path / name, cache)}\n" for name in names]
    except OSError:
        return ""
    return hashlib.sha256("".join(lines).encode()).hexdigest() if lines else ""


def file_digest(path: Path, cache: Path | None = None) -> str:
    """The SHA-256 of a file's bytes, in hex, from the cache where path, size and time of change are as they were.

    cache: a folder, the user's unless given. Raises `OSError` where the file cannot be read.
    """
    path = path.resolve()
    seen = path.stat()
    stamp = {"path": str(path), "size": seen.st_size, "mtime_ns": seen.st_mtime_ns}
    note = (cache or user_folders().digests) / f"{hashlib.sha256(str(path).encode()).hexdigest()[:32]}.json"
    known = _read(note)
    if all(known.get(key) == value for key, value in stamp.items()) and isinstance(known.get("sha256"), str):
        return str(known["sha256"])
    digest = sha256_of(path)
    if time.time_ns() - seen.st_mtime_ns > _SETTLED_NS:
        _write(note, {**stamp, "sha256": digest})
    return digest


def _read(note: Path) -> dict[str, object]:
    try:
        data = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _write(note: Path, entry: Mapping[str, object]) -> None:
    """A cache that cannot be written only costs time."""
    with suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(note, json.dumps(entry))
