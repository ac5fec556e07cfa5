"""Fetching, against a hub on loopback and through the genuine huggingface_hub: resumed, checked, refused, never half in place."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.schema.config import Variant
from pipelines.schema.errors import SurroundingsFailed, TaskFailed, UsageError
from pipelines.weights import WeightsSpec, digest_of, locate
from pipelines.weights import fetch as fetching
from pipelines.weights.fetch import fetch
from pipelines.weights.hub import HuggingFace, Listing, RemoteFile
from pipelines.weights.manifest import NAME, read_manifest, verify
from pipelines.weights.spec import Source
from tests.weights.hub_server import COMMIT, FakeHub, serving

MODEL = bytes(range(256)) * 12_000  # 3 MB: several blocks
CONFIG = b'{"width": 8}'
REPO = {"model.bin": MODEL, "config.json": CONFIG, "vocabulary.json": b"[]", "README.md": b"# not a weight"}


def variant(**weights: object) -> Variant:
    given = {"folder": "tiny", "hub": "owner/tiny", "files": ["model.bin", "config.json", "vocabulary.*"], **weights}
    return Variant("transcribe/tiny", "transcribe", "x", weights={k: v for k, v in given.items() if v is not None})


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.delenv("HF_ENDPOINT", raising=False)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with serving(FakeHub({"owner/tiny": dict(REPO), "other/more": {"config.yaml": b"a: 1", "x.bin": b"y"}})) as server:
        yield server


def get(one: Variant, home: Path, hub: FakeHub, **rest: object) -> Path:
    return fetch(one, home, HuggingFace(hub.url), pause=lambda seconds: None, **rest)  # type: ignore[arg-type]


def test_what_was_asked_for_comes_whole_and_nothing_else(hub: FakeHub, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    said: list[str] = []
    folder = get(variant(), tmp_path, hub, report=lambda done, total: seen.append((done, total)), begin=said.append)
    assert folder == tmp_path / "tiny"
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != NAME} == {
        name: data for name, data in REPO.items() if name != "README.md"
    }
    total = len(MODEL) + len(CONFIG) + 2
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert "3 files" in said[0]
    assert "owner/tiny" in said[0]
    assert read_manifest(folder).sources == {"owner/tiny": COMMIT}  # type: ignore[union-attr]
    assert locate(variant(), tmp_path).path == folder


def test_a_second_fetch_asks_nobody(hub: FakeHub, tmp_path: Path) -> None:
    get(variant(), tmp_path, hub)
    assert fetch(variant(), tmp_path, Unreachable()) == tmp_path / "tiny"


def test_a_broken_connection_goes_on_where_it_broke(hub: FakeHub, tmp_path: Path) -> None:
    hub.cut = {"model.bin": [1_000_000, 700_000]}
    folder = get(variant(), tmp_path, hub)
    assert (folder / "model.bin").read_bytes() == MODEL
    assert [start for name, start in hub.asked if name == "model.bin"] == [0, 1_000_000, 1_700_000]


def test_a_later_try_goes_on_where_an_earlier_one_stopped(hub: FakeHub, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done > 1_500_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(variant(), tmp_path, hub, report=stop)
    assert locate(variant(), tmp_path).path is None  # half a model is not found
    hub.asked.clear()
    said: list[str] = []
    folder = get(variant(), tmp_path, hub, begin=said.append)
    assert (folder / "model.bin").read_bytes() == MODEL
    (start,) = [start for name, start in hub.asked if name == "model.bin"]
    assert start > 1_000_000
    assert "here already" in said[0]
    assert "config.json" not in [name for name, _ in hub.asked]


def test_another_revision_s_beginning_is_not_gone_on_with(hub: FakeHub, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done > 1_500_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(variant(), tmp_path, hub, report=stop)
    hub.repos["owner/tiny"]["model.bin"] = MODEL[::-1]
    folder = get(variant(), tmp_path, hub)
    assert (folder / "model.bin").read_bytes() == MODEL[::-1]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [NAME, "config.json", "model.bin", "vocabulary.json"]
    )


def test_a_server_without_ranges_is_asked_from_the_beginning(hub: FakeHub, tmp_path: Path) -> None:
    hub.whole_only = True
    hub.cut = {"model.bin": [1_000_000]}
    folder = get(variant(), tmp_path, hub)
    assert (folder / "model.bin").read_bytes() == MODEL


@pytest.mark.parametrize("name", ["model.bin", "config.json"])
def test_wrong_bytes_are_set_aside_and_never_used(hub: FakeHub, tmp_path: Path, name: str) -> None:
    hub.wrong = {name}
    with pytest.raises(TaskFailed, match=r"not what it should be.*\.bad and not used"):
        get(variant(), tmp_path, hub)
    assert not (tmp_path / "tiny").exists()
    assert locate(variant(), tmp_path).path is None
    assert [path.name for path in tmp_path.rglob("*.bad")] == [f"{name}.bad"]
    hub.wrong = set()
    folder = get(variant(), tmp_path, hub)
    assert not list(folder.rglob("*.bad"))


def test_the_variant_s_own_digest_outranks_the_hub_s(hub: FakeHub, tmp_path: Path) -> None:
    right = {"model.bin": hashlib.sha256(MODEL).hexdigest()}
    get(variant(sha256=right), tmp_path / "a", hub)
    with pytest.raises(TaskFailed, match="not what it should be"):
        get(variant(sha256={"model.bin": "0" * 64}), tmp_path / "b", hub)


def test_no_network_says_where_to_put_the_files_by_hand(tmp_path: Path) -> None:
    with pytest.raises(SurroundingsFailed) as caught:
        fetch(variant(), tmp_path, HuggingFace("http://127.0.0.1:9"), pause=lambda seconds: None)
    told = str(caught.value)
    assert "http://127.0.0.1:9 cannot be reached" in told
    assert f"put model.bin, config.json, vocabulary.* (of owner/tiny) into {tmp_path / 'tiny'}" in told


def test_a_network_that_goes_away_ends_with_what_came_kept(hub: FakeHub, tmp_path: Path) -> None:
    hub.cut = {"model.bin": [1_000_000] + [0] * 20}
    with pytest.raises(SurroundingsFailed, match="By hand"):
        get(variant(), tmp_path, hub)
    assert [path.stat().st_size for path in tmp_path.rglob("model.bin.*.part")] == [1_000_000]


def test_a_full_disk_is_said_before_anything_comes(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = fetching.shutil._ntuple_diskusage if hasattr(fetching.shutil, "_ntuple_diskusage") else None
    assert usage is not None
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda path: usage(10**9, 10**9, 1 << 20))
    with pytest.raises(SurroundingsFailed, match=r"needs 2\.\d MiB more and .* has 1\.0 MiB free"):
        get(variant(), tmp_path, hub)
    assert hub.asked == []


def test_a_disk_that_fills_up_meanwhile_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SurroundingsFailed, match=r"The disk is full .*kept"):
        fetch(variant(), tmp_path, Full())


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SurroundingsFailed, match="weights_dir="):
        fetch(variant(), tmp_path / "file", Full())


def test_a_repository_that_is_not_there_or_gated_is_told_apart(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(TaskFailed, match="has no owner/none"):
        get(variant(hub="owner/none"), tmp_path, hub)
    hub.gated = {"owner/tiny"}
    with pytest.raises(TaskFailed, match="accepted its terms"):
        get(variant(), tmp_path, hub)
    hub.gated = set()
    with pytest.raises(TaskFailed, match=r"has no nothing\.bin"):
        get(variant(files=["nothing.bin"]), tmp_path, hub)


def test_optional_files_come_where_there_are_any(hub: FakeHub, tmp_path: Path) -> None:
    hub.repos["owner/tiny"]["extra.json"] = b"{}"
    folder = get(variant(optional=["extra.json", "absent.json"]), tmp_path, hub)
    assert (folder / "extra.json").read_bytes() == b"{}"


def test_a_subfolder_and_a_second_repository_make_one_folder(hub: FakeHub, tmp_path: Path) -> None:
    hub.repos["owner/tiny"] = {"v1/model.bin": MODEL, "v1/config.json": CONFIG, "v2/model.bin": b"other"}
    both = variant(
        subfolder="v1", files=["*.bin", "config.json"], **{"with": {"more": {"hub": "other/more", "files": ["*.yaml"]}}}
    )
    folder = get(both, tmp_path, hub)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {NAME, "model.bin", "config.json", "more/config.yaml"}
    assert (folder / "model.bin").read_bytes() == MODEL
    assert fetch(both, tmp_path, Unreachable()) == folder


def test_a_person_s_own_files_stay(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "notes.txt").write_text("mine")
    (tmp_path / "tiny" / "config.json").write_text("my own")
    folder = get(variant(), tmp_path, hub)
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "config.json").read_bytes() == CONFIG
    assert (folder / "config.json.before").read_text() == "my own"
    assert not list(tmp_path.glob(".tiny.part"))


def test_a_token_is_not_told_to_another_host(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with serving(FakeHub(hub.repos)) as cdn:
        hub.elsewhere = cdn.url.replace("127.0.0.1", "localhost")
        get(variant(), tmp_path, hub)
        assert cdn.tokens == [None] * 3
    hub.elsewhere = None
    get(variant(folder="again"), tmp_path, hub)
    assert set(hub.tokens) == {"Bearer hf_secret"}


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "a/../../evil", ".ssh/keys"])
def test_a_hub_cannot_write_outside_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(TaskFailed, match="nothing was fetched"):
        fetch(variant(files=["*"]), tmp_path / "home", Listed((RemoteFile(name, 1),)))
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"] == []


def test_nothing_to_fetch_from_names_the_place(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"put a.bin into {tmp_path / 'tiny'}"):
        fetch(variant(hub=None, files=["a.bin"]), tmp_path, Unreachable())


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
    spec = WeightsSpec.of(variant())
    assert spec is not None
    assert digest_of(found.path, spec) == digest_of(get(variant(), tmp_path, hub), spec) != ""


def test_verify_finds_a_changed_a_missing_and_an_unknown_file(hub: FakeHub, tmp_path: Path) -> None:
    folder = get(variant(), tmp_path, hub)
    spec = WeightsSpec.of(variant())
    assert spec is not None
    assert {verdict.state for verdict in verify(folder, spec)} == {"ok"}
    (folder / "model.bin").write_bytes(MODEL[:-1] + b"!")
    (folder / "vocabulary.json").unlink()
    states = {verdict.name: verdict.state for verdict in verify(folder, spec)}
    assert (states["model.bin"], states["config.json"], states["vocabulary.json"]) == ("differs", "ok", "missing")
    note = json.loads((folder / NAME).read_text())
    del note["sha256"]["config.json"]
    (folder / NAME).write_text(json.dumps(note))
    assert {v.name: v.state for v in verify(folder, spec)}["config.json"] == "unrecorded"


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
