"""Fetching, against a hub on loopback and through the genuine huggingface_hub: what comes, and what is said when it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.schema.errors import SurroundingsFailed, UsageError
from pipelines.weights import fetch as fetching
from pipelines.weights import locate
from pipelines.weights.fetch import fetch
from pipelines.weights.huggingface import HuggingFace
from pipelines.weights.manifest import NAME, read_manifest
from tests.weights.helpers import CONFIG, MODEL, REPO, Full, Unreachable, get, variant
from tests.weights.hub_server import COMMIT, FakeHub


def test_what_was_asked_for_comes_whole_and_nothing_else(hub: FakeHub, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    message: list[str] = []
    folder = get(variant(), tmp_path, hub, report=lambda done, total: seen.append((done, total)), begin=message.append)
    assert folder == tmp_path / "tiny"
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != NAME} == {
        name: data for name, data in REPO.items() if name != "README.md"
    }
    total = len(MODEL) + len(CONFIG) + 2
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert "3 files" in message[0]
    assert "owner/tiny" in message[0]
    assert read_manifest(folder).sources == {"owner/tiny": COMMIT}  # type: ignore[union-attr]
    assert locate(variant(), tmp_path).path == folder


def test_no_network_says_where_to_put_the_files_by_hand(tmp_path: Path) -> None:
    with pytest.raises(SurroundingsFailed) as caught:
        fetch(variant(), tmp_path, HuggingFace("http://127.0.0.1:9"), pause=lambda seconds: None)
    reported = str(caught.value)
    assert "http://127.0.0.1:9 cannot be reached" in reported
    assert f"put model.bin, config.json, vocabulary.* (of owner/tiny) into {tmp_path / 'tiny'}" in reported


def test_a_full_disk_is_said_before_anything_comes(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = fetching.shutil._ntuple_diskusage if hasattr(fetching.shutil, "_ntuple_diskusage") else None
    assert usage is not None
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda path: usage(10**9, 10**9, 1 << 20))
    with pytest.raises(SurroundingsFailed, match=r"needs 2\.\d MiB more and .* has 1\.0 MiB free"):
        get(variant(), tmp_path, hub)
    assert hub.requested == []


def test_a_disk_that_fills_up_meanwhile_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SurroundingsFailed, match=r"The disk is full .*kept"):
        fetch(variant(), tmp_path, Full())


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SurroundingsFailed, match="weights_dir="):
        fetch(variant(), tmp_path / "file", Full())


def test_nothing_to_fetch_from_names_the_place(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"put a.bin into {tmp_path / 'tiny'}"):
        fetch(variant(hub=None, files=["a.bin"]), tmp_path, Unreachable())
