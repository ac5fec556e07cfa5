"""Where weights are found, and what is said where they are not."""

from __future__ import annotations

import os
from pathlib import Path

from pipelines.weights import locate
from pipelines.weights.digests import digest_of
from tests.weights.toys import put, variant


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
    spec = toy.weights
    assert spec is not None
    before = digest_of(place, spec)
    put(place / "other-5678.th", b"changed")
    assert digest_of(place, spec) == before
    put(place / "a-1234.th", b"changed")
    assert digest_of(place, spec) != before


def test_what_was_looked_at_is_all_said(tmp_path: Path) -> None:
    found = locate(variant(folder="f", hub="a/b", files=["x"], tts="t"), tmp_path)
    assert found.fetchable
    assert [Path(place).name for place in found.looked] == ["f", "toy", "models--a--b", "t"]
    assert all(place in found.missing for place in found.looked)
