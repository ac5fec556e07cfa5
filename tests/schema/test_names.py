"""Names made from what a user wrote are safe as files and folders."""

import pytest

from pipelines.schema.names import safe_name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "_.._etc_passwd"),
        ("a\x00b\nc", "a_b_c"),
        ("...", "item"),
        ("", "item"),
        ("été", "été"),
        ("x" * 500, "x" * 120),
        ("é" * 200, "é" * 60),
        ("AC/DC - Où?", "AC_DC - Où_"),
        ("-rf", "rf"),
        ("song", "song"),
        ("com1", "com1_"),
        ("a nice song", "a nice song"),
        ("AUX", "AUX_"),
        ("nul.txt", "nul_.txt"),
        ("a-plain_name-1", "a-plain_name-1"),
    ],
)
def test_names_are_safe_on_every_system(name, safe):
    assert safe_name(name) == safe


@pytest.mark.parametrize(
    "name", ["\ud800x", "\udcff.wav", "a\u202eb", "a\u2028b", "a\u0085b", "\u200b", "..", "a/../b"]
)
def test_any_name_becomes_one_visible_folder_name(name):
    safe = safe_name(name)
    assert safe.encode()
    assert safe.isprintable()
    assert safe not in (".", "..")
    assert "/" not in safe


@pytest.mark.parametrize(
    "name", ["\u0301", "con", "plain-name-of-a-song", "Aa/b" * 50, "e\u0301t\u00e9", "a" * 119 + "\u00e9"]
)
def test_a_safe_name_stays_as_it_is(name):
    safe = safe_name(name)
    assert safe_name(safe) == safe


def test_the_name_for_nothing_can_be_chosen():
    assert safe_name(" . ", "song") == "song"
