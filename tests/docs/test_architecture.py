"""ARCHITECTURE.md draws the house as it stands: every package is in the drawing, and every module it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
DRAWING = PAGE.split("## The house")[1].split("Imports go downwards only")[0]
ENTRIES = [each for each in (ROOT / "pipelines").iterdir() if each.suffix == ".py" or (each / "__init__.py").is_file()]
NAMES = sorted(set(re.findall(r"`((?:\w+/)+\w+\.py)`", PAGE)))


@pytest.mark.parametrize("entry", [each.name for each in ENTRIES if each.name != "__init__.py"])
def test_every_room_is_drawn(entry):
    name = entry if entry.endswith(".py") else f"{entry}/"
    assert re.search(rf"(?<![\w/]){re.escape(name)}", DRAWING), f"{name} is not in the drawing of the house"


def test_there_are_names_to_look_for():
    assert len(NAMES) > 20


@pytest.mark.parametrize("name", NAMES)
def test_every_module_it_names_is_there(name):
    assert (ROOT / "pipelines" / name).is_file() or (ROOT / name).is_file()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#:]+)\)", PAGE))))
def test_every_page_it_links_is_there(target):
    assert (ROOT / target).is_file()
