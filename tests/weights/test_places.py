"""Where weights are found, which extra brings what is missing, and digests that are remembered without lying."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from pipelines.paths import user_folders
from pipelines.schema.config import Variant
from pipelines.weights import Need, digest, extras, locate
from pipelines.weights.digest import digest_of, file_digest
from pipelines.weights.extras import extras_for
from pipelines.weights.need import matching


def variant(name: str = "speak/toy", requires: tuple[str, ...] = (), **weights: object) -> Variant:
    return Variant(name, name.partition("/")[0], "x", weights=weights, requires=requires)


def put(path: Path, data: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_nearer_places_outrank_farther_ones(tmp_path: Path) -> None:
    """Explicit path, then <home>/<folder>, then <home>/<role>/<name>, then the library's data folder."""
    toy = variant(folder="shared", files=["a.bin"], tts="their-name")
    put(Path(os.environ["TTS_HOME"]) / "tts" / "their-name" / "a.bin")
    assert (locate(toy, tmp_path).where, locate(toy, tmp_path).path) == (
        "TTS data folder", Path(os.environ["TTS_HOME"]) / "tts" / "their-name",
    )  # fmt: skip
    put(tmp_path / "speak" / "toy" / "a.bin")
    assert locate(toy, tmp_path).path == tmp_path / "speak" / "toy"
    put(tmp_path / "shared" / "a.bin")
    assert locate(toy, tmp_path).path == tmp_path / "shared"
    put(tmp_path / "own" / "a.bin")
    mine = variant(folder="shared", files=["a.bin"], path=str(tmp_path / "own"))
    assert (locate(mine, tmp_path).path, locate(mine, tmp_path).where) == (tmp_path / "own", "explicit path")


def test_an_explicit_path_that_is_not_there_is_not_replaced(tmp_path: Path) -> None:
    put(tmp_path / "shared" / "a.bin")
    found = locate(variant(folder="shared", path=str(tmp_path / "gone")), tmp_path)
    assert found.path is None
    assert found.missing == f"no weights in {tmp_path / 'gone'}"


def test_half_of_a_library_s_copy_is_not_found(tmp_path: Path) -> None:
    put(Path(os.environ["TTS_HOME"]) / "tts" / "their-name" / "a.bin")
    assert locate(variant(files=["a.bin", "b.bin"], tts="their-name"), tmp_path).path is None


def test_torch_hub_s_checkpoints_are_found_and_only_the_model_s_count(tmp_path: Path) -> None:
    place = Path(os.environ["TORCH_HOME"]) / "hub" / "checkpoints"
    toy = variant(files=["a.safetensors"], library="a-1234.th")
    put(place / "other-5678.th")
    assert locate(toy, tmp_path).path is None
    put(place / "a-1234.th")
    assert locate(toy, tmp_path).path == place
    need = Need.of(toy)
    assert need is not None
    before = digest_of(place, need)
    put(place / "other-5678.th", b"changed")
    assert digest_of(place, need) == before
    put(place / "a-1234.th", b"changed")
    assert digest_of(place, need) != before


def test_what_was_looked_at_is_all_said(tmp_path: Path) -> None:
    found = locate(variant(folder="f", hub="a/b", files=["x"], tts="t"), tmp_path)
    assert found.fetchable
    assert [Path(place).name for place in found.looked] == ["f", "toy", "models--a--b", "t"]
    assert all(place in found.missing for place in found.looked)


EXTRAS = [
    "numpy>=1.26",
    *(f"{name}; extra == 'demucs'" for name in ("torch>=2.6", "demucs<5,>=4.1", "safetensors>=0.4")),
    *(f'{name} ; extra == "crepe"' for name in ("torch>=2.6", "torchcrepe==0.0.24")),
    *(f"{name}; extra == 'xtts'" for name in ("torch>=2.6", "coqui-tts>=0.27.3", "six")),
    *(f"{name}; extra == 'audio'" for name in ("soxr>=0.5", "av>=14")),
    "faster-whisper; extra == 'whisper'",
    *(
        f"{name}; extra == 'all'"
        for name in ("torch", "demucs", "safetensors", "torchcrepe", "coqui-tts", "soxr", "faster_whisper")
    ),
]


@pytest.mark.parametrize(
    ("absent", "required", "wanted"),
    [
        (["torchcrepe"], ["torch", "torchcrepe", "soxr"], ["crepe"]),
        (["torch"], ["torch", "torchcrepe", "soxr"], ["crepe"]),
        (["torch"], ["torch", "demucs"], ["demucs"]),
        (["TTS"], ["TTS", "torchaudio"], ["xtts"]),
        (["faster_whisper"], ["faster_whisper"], ["whisper"]),
        (["soxr"], ["soxr"], ["audio"]),
        (["faster_whisper", "soxr"], ["faster_whisper", "soxr"], ["audio", "whisper"]),
        (["nobodys_module"], ["nobodys_module"], []),
        (["torch", "nobodys_module"], ["torch"], []),
    ],
)
def test_the_nearest_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, absent: list[str], required: list[str], wanted: list[str]
) -> None:
    monkeypatch.setattr(extras.metadata, "requires", lambda name: EXTRAS)
    assert sorted(extras_for(absent, required)) == wanted


def test_a_missing_module_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(extras.metadata, "requires", lambda name: ["no-such-module; extra == 'toy'"])
    found = locate(variant(requires=("no_such_module", "os")), tmp_path)
    assert found.missing == "no_such_module is not installed (pip install 'headroom-runner[toy]')"
    assert not found.fetchable


def test_a_digest_is_of_names_and_bytes_wherever_they_lie(tmp_path: Path) -> None:
    need = Need.of(variant(files=["a.bin", "sub/*"]))
    assert need is not None
    for place in ("one", "two"):
        put(tmp_path / place / "a.bin", b"a")
        put(tmp_path / place / "sub" / "b.bin", b"b")
    put(tmp_path / "two" / "README.md")
    put(tmp_path / "two" / ".cache" / "x")
    lines = "".join(
        f"{name}\0{hashlib.sha256(data).hexdigest()}\n" for name, data in (("a.bin", b"a"), ("sub/b.bin", b"b"))
    )
    assert (
        digest_of(tmp_path / "one", need)
        == digest_of(tmp_path / "two", need)
        == hashlib.sha256(lines.encode()).hexdigest()
    )
    (tmp_path / "two" / "a.bin").rename(tmp_path / "two" / "c.bin")
    assert digest_of(tmp_path / "two", need) != digest_of(tmp_path / "one", need)
    assert digest_of(tmp_path / "one" / "a.bin", need) == hashlib.sha256(b"a").hexdigest()
    assert digest_of(tmp_path / "gone", need) == ""


def age(path: Path, seconds: float = 60) -> None:
    now = path.stat().st_mtime
    os.utime(path, (now - seconds, now - seconds))


def test_bytes_are_read_once_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    real = digest.sha256_of
    monkeypatch.setattr(digest, "sha256_of", lambda path: read.append(path) or real(path))  # type: ignore[func-returns-value]
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


def test_names_and_patterns() -> None:
    assert matching(["sub/a.bin", "a.txt"], ["*.txt", "sub"]) == ["a.txt", "sub/a.bin"]
