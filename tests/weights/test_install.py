"""Fetched weights in their place."""

from __future__ import annotations

from pathlib import Path

from pipelines.weights.fetch import fetch
from tests.weights.helpers import CONFIG, Unreachable, get, variant
from tests.weights.hub_server import FakeHub


def test_a_second_fetch_asks_nobody(hub: FakeHub, tmp_path: Path) -> None:
    get(variant(), tmp_path, hub)
    assert fetch(variant(), tmp_path, Unreachable()) == tmp_path / "tiny"


def test_a_person_s_own_files_stay(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "notes.txt").write_text("mine")
    (tmp_path / "tiny" / "config.json").write_text("my own")
    folder = get(variant(), tmp_path, hub)
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "config.json").read_bytes() == CONFIG
    assert (folder / "config.json.before").read_text() == "my own"
    assert not list(tmp_path.glob(".tiny.part"))
