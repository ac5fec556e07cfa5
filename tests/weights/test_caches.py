"""Weights that other programs fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.weights import digest_of, locate
from tests.weights.helpers import CONFIG, MODEL, get, variant
from tests.weights.hub_server import COMMIT, FakeHub


def test_the_library_s_own_cache_is_found_without_a_network(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot that huggingface_hub itself made counts, whole ones only, and its digest is that of a fetched folder."""
    import os

    repo = Path(os.environ["HF_HUB_CACHE"]) / "models--owner--tiny"
    snapshot = repo / "snapshots" / COMMIT
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(COMMIT)
    (repo / "blobs").mkdir()
    snapshot.mkdir(parents=True)
    for name, data in (("model.bin", MODEL), ("config.json", CONFIG), ("vocabulary.json", b"[]"), ("README.md", b"#")):
        assert locate(variant(), tmp_path).path is None
        (repo / "blobs" / name).write_bytes(data)
        (snapshot / name).symlink_to(repo / "blobs" / name)
        if name == "vocabulary.json":
            break
    found = locate(variant(), tmp_path)
    assert (found.path, found.where) == (snapshot, "huggingface cache")
    from huggingface_hub import snapshot_download

    theirs = snapshot_download("owner/tiny", cache_dir=os.environ["HF_HUB_CACHE"], local_files_only=True)
    assert Path(theirs) == found.path
    spec = variant().weights
    assert spec is not None
    assert digest_of(found.path, spec) == digest_of(get(variant(), tmp_path, hub), spec) != ""
