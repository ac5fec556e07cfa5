"""Which files of a repository are wanted, and which are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.schema.errors import TaskFailed
from pipelines.weights.fetch import fetch
from pipelines.weights.hub import RemoteFile
from pipelines.weights.manifest import NAME
from tests.weights.helpers import CONFIG, MODEL, Listed, Unreachable, get, variant
from tests.weights.hub_server import FakeHub


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


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "a/../../evil", ".ssh/keys"])
def test_a_hub_cannot_write_outside_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(TaskFailed, match="nothing was fetched"):
        fetch(variant(files=["*"]), tmp_path / "home", Listed((RemoteFile(name, 1),)))
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"] == []
