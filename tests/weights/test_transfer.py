"""One file brought from a hub: resumed, compared, set aside where it is wrong."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pipelines.schema.errors import SurroundingsFailed, TaskFailed
from pipelines.weights import locate
from pipelines.weights.manifest import NAME
from tests.weights.helpers import MODEL, get, variant
from tests.weights.hub_server import FakeHub


def test_a_broken_connection_goes_on_where_it_broke(hub: FakeHub, tmp_path: Path) -> None:
    hub.cut = {"model.bin": [1_000_000, 700_000]}
    folder = get(variant(), tmp_path, hub)
    assert (folder / "model.bin").read_bytes() == MODEL
    assert [start for name, start in hub.requested if name == "model.bin"] == [0, 1_000_000, 1_700_000]


def test_a_later_try_goes_on_where_an_earlier_one_stopped(hub: FakeHub, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done > 1_500_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(variant(), tmp_path, hub, report=stop)
    assert locate(variant(), tmp_path).path is None  # half a model is not found
    hub.requested.clear()
    message: list[str] = []
    folder = get(variant(), tmp_path, hub, begin=message.append)
    assert (folder / "model.bin").read_bytes() == MODEL
    (start,) = [start for name, start in hub.requested if name == "model.bin"]
    assert start > 1_000_000
    assert "here already" in message[0]
    assert "config.json" not in [name for name, _ in hub.requested]


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


def test_a_network_that_goes_away_ends_with_what_came_kept(hub: FakeHub, tmp_path: Path) -> None:
    hub.cut = {"model.bin": [1_000_000] + [0] * 20}
    with pytest.raises(SurroundingsFailed, match="By hand"):
        get(variant(), tmp_path, hub)
    assert [path.stat().st_size for path in tmp_path.rglob("model.bin.*.part")] == [1_000_000]
