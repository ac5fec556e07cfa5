import math

import pytest

from pipelines.schema.errors import UsageError
from pipelines.schema.fields import (
    BYTES,
    FLAG,
    NAMES,
    SECONDS,
    TEXT,
    choice,
    each,
    names,
    number,
    pair,
    read_fields,
    whole,
)


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        (whole(0, 64), 64, 64),
        (number(0, 1), 1, 1.0),
        (pair(0, 30), [1, 2.5], (1.0, 2.5)),
        (choice("a", "b"), "b", "b"),
        (NAMES, "one", ("one",)),
        (NAMES, ["one", "two"], ("one", "two")),
        (TEXT, 1984, "1984"),
        (FLAG, False, False),
        (BYTES, "3 GiB", 3 * 1024**3),
        (BYTES, 7, 7),
        (SECONDS, 0, 0.0),
    ],
)
def test_a_value_of_its_kind_is_read_in_one_type(kind, value, read):
    found = kind(value, "x")
    assert (found, type(found)) == (read, type(read))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (whole(0, 64), 65),
        (whole(0, 64), True),
        (whole(0, 64), 1.0),
        (whole(0, 64), "1"),
        (number(0, 1), math.nan),
        (number(0, 1), False),
        (number(0, 1), "0.5"),
        (pair(0, 30), [2, 1]),
        (pair(0, 30), [1]),
        (pair(0, 30), [1, 2, 3]),
        (pair(0, 30), [1, 31]),
        (pair(0, 30), 3),
        (choice("a", "b"), "c"),
        (choice("a", "b"), ["a"]),
        (NAMES, [1]),
        (NAMES, {"a": 1}),
        (TEXT, True),
        (TEXT, ["a"]),
        (FLAG, 1),
        (FLAG, "yes"),
        (BYTES, "3 XB"),
        (BYTES, -1),
        (BYTES, "9999999 TiB"),
        (BYTES, True),
        (SECONDS, -1),
    ],
)
def test_any_other_value_is_refused_with_its_place_and_what_it_must_be(kind, value):
    with pytest.raises(UsageError) as caught:
        kind(value, "tier.x")
    assert str(caught.value) == f"tier.x is {value!r}; it must be {kind.wanted}."


def test_a_name_that_is_nearly_right_is_guessed():
    with pytest.raises(
        UsageError, match=r"^p is 'planed'; it must be one of planned, a, b\. Did you mean 'planned'\?$"
    ):
        choice("planned", "a", "b")("planed", "p")
    with pytest.raises(UsageError, match=r"must be a list of roles\. Did you mean 'pitch'\?$"):
        names("a list of roles", ["pitch", "speak"])(["speak", "pich"], "p")


def test_fields_are_read_by_their_table_and_what_is_null_is_left_to_the_default():
    table = {"streams": whole(0, 64), "music": lambda value, where: read_fields(value, {"batch": whole(1, 8)}, where)}
    assert read_fields({"streams": None, "music": {"batch": 2}}, table, "tier") == {"music": {"batch": 2}}
    assert read_fields(None, table, "tier") == {}
    with pytest.raises(UsageError, match=r"^tier\.music\.batch is 9; it must be a whole number from 1 to 8\.$"):
        read_fields({"music": {"batch": 9}}, table, "tier")
    with pytest.raises(UsageError, match=r"^tier: there is no setting 'stream'\. Did you mean 'streams'\?"):
        read_fields({"stream": 1}, table, "tier")
    with pytest.raises(UsageError, match=r"^tier is 5; it must be settings by name\.$"):
        read_fields(5, table, "tier")


def test_a_mapping_of_one_kind_knows_its_names():
    allow = each(NAMES, ["pitch", "speak"])
    assert allow({"pitch": ["a"], "speak": None}, "allow") == {"pitch": ("a",)}
    with pytest.raises(UsageError, match=r"^allow\.pitch is \[1\]; it must be a list of names\.$"):
        allow({"pitch": [1]}, "allow")
    with pytest.raises(UsageError, match=r"^allow: there is no setting 'pich'\. Did you mean 'pitch'\?"):
        allow({"pich": ["a"]}, "allow")
