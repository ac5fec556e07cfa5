"""Digests are of names and bytes, and are remembered without lying."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from pipelines.paths import user_folders
from pipelines.weights import digests
from pipelines.weights.digests import digest_of, file_digest
from tests.weights.toys import put, variant


def test_a_digest_is_of_names_and_bytes_wherever_they_lie(tmp_path: Path) -> None:
    spec = variant(files=["a.bin", "sub/*"]).weights
    assert spec is not None
    for place in ("one", "two"):
        put(tmp_path / place / "a.bin", b"a")
        put(tmp_path / place / "sub" / "b.bin", b"b")
    put(tmp_path / "two" / "README.md")
    put(tmp_path / "two" / ".cache" / "x")
    lines = "".join(
        f"{name}\0{hashlib.sha256(data).hexdigest()}\n" for name, data in (("a.bin", b"a"), ("sub/b.bin", b"b"))
    )
    assert (
        digest_of(tmp_path / "one", spec)
        == digest_of(tmp_path / "two", spec)
        == hashlib.sha256(lines.encode()).hexdigest()
    )
    (tmp_path / "two" / "a.bin").rename(tmp_path / "two" / "c.bin")
    assert digest_of(tmp_path / "two", spec) != digest_of(tmp_path / "one", spec)
    assert digest_of(tmp_path / "one" / "a.bin", spec) == hashlib.sha256(b"a").hexdigest()
    assert digest_of(tmp_path / "gone", spec) == ""


def age(path: Path, seconds: float = 60) -> None:
    now = path.stat().st_mtime
    os.utime(path, (now - seconds, now - seconds))


def test_bytes_are_read_once_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    real = digests.sha256_of
    monkeypatch.setattr(digests, "sha256_of", lambda path: read.append(path) or real(path))  # type: ignore[func-returns-value]
    path = put(tmp_path / "a.bin", b"first")
    age(path)
    assert file_digest(path) == file_digest(path) == hashlib.sha256(b"first").hexdigest()
    assert len(read) == 1
    put(path, b"other")  # as long as the first
    age(path, 30)
    assert file_digest(path) == hashlib.sha256(b"other").hexdigest()
    assert len(read) == 2


def test_a_file_just_written_is_not_remembered(tmp_path: Path) -> None:
    path = put(tmp_path / "a.bin", b"first")
    stamp = path.stat()
    file_digest(path)
    path.write_bytes(b"other")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # as a clock too coarse would show it
    assert file_digest(path) == hashlib.sha256(b"other").hexdigest()


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"sha256": 5}', b"\xff"])
def test_a_damaged_memory_only_costs_time(tmp_path: Path, damage: bytes) -> None:
    path = put(tmp_path / "a.bin")
    age(path)
    right = file_digest(path)
    (note,) = user_folders().digests.iterdir()
    note.write_bytes(damage)
    assert file_digest(path) == right


def test_a_memory_that_cannot_be_written_only_costs_time(tmp_path: Path) -> None:
    path = put(tmp_path / "a.bin")
    age(path)
    put(tmp_path / "file")
    assert file_digest(path, tmp_path / "file" / "cache") == hashlib.sha256(b"x").hexdigest()
