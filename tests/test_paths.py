"""User folders: which name wins, and that HEADROOM_HOME holds everything."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.paths import user_folders

KINDS = ("data", "cache", "weights")


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"HEADROOM_HOME": "/h"}, ("/h", "/h/cache", "/h/weights")),
        ({"HEADROOM_HOME": "/h", "HEADROOM_CACHE": "/c"}, ("/h", "/c", "/h/weights")),
        ({"HEADROOM_HOME": "/h", "HEADROOM_WEIGHTS": "/w"}, ("/h", "/h/cache", "/w")),
        ({"HEADROOM_HOME": "/h", "HEADROOM_WEIGHTS": ""}, ("/h", "/h/cache", "/h/weights")),
    ],
)
def test_the_nearest_name_wins(named: dict[str, str], expected: tuple[str, ...]) -> None:
    folders = user_folders(environment=named)
    assert tuple(str(getattr(folders, kind)) for kind in KINDS) == expected


def test_the_setting_wins_over_the_environment() -> None:
    assert user_folders("/given", {"HEADROOM_WEIGHTS": "/w"}).weights == Path("/given")
    assert user_folders("~/given", {}).weights == Path.home() / "given"


def test_without_names_they_are_the_user_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for environment in ({}, {"HEADROOM_HOME": "", "HEADROOM_CACHE": ""}):
        folders = user_folders(environment=environment)
        assert folders.data == tmp_path / "share" / "headroom"
        assert folders.cache == tmp_path / "cache" / "headroom"
        assert folders.weights == folders.data / "weights"


def test_every_file_lies_in_one_of_the_folders() -> None:
    folders = user_folders(environment={"HEADROOM_HOME": "/h", "HEADROOM_CACHE": "/c"})
    assert (folders.footprints.parent, folders.leaks.parent) == (Path("/h"), Path("/h"))
    assert {folders.digests.parent, folders.environments.parent, folders.detection.parent} == {Path("/c")}
