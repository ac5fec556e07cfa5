import sys

import pytest

from pipelines.node_classes import make_node, node_class, trusted_packages
from pipelines.schema.errors import UsageError


@pytest.mark.parametrize(
    "target",
    ["os.system", "subprocess.Popen", "builtins.eval", "nodes", "nodesx.y.Z", "nodes.notes.__import__('os')", "tests.apps.toys.Gain",
     "nodes..os.system", "pipelines.cli.main.main", "nodes.sample.os.system"],
)  # fmt: skip
def test_nothing_outside_the_trusted_packages_can_be_named(target):
    with pytest.raises(UsageError, match="_target_"):
        node_class(target)


def test_refused_modules_are_not_even_imported():
    sys.modules.pop("antigravity", None)
    with pytest.raises(UsageError, match="not allowed"):
        node_class("antigravity.Node")
    assert "antigravity" not in sys.modules


def test_a_flag_adds_a_package():
    assert node_class("tests.apps.toys.Gain", trusted_packages(["tests"])).__name__ == "Gain"


@pytest.mark.parametrize(
    ("target", "words"),
    [("tests.apps.toys.Gian", "Did you mean 'Gain'"), ("tests.apps.toyz.Gain", "no module 'tests.apps.toyz'"),
     ("tests.apps.toys.np", "not a node class"), ("tests.apps.toys.File", "not a node class")],
)  # fmt: skip
def test_what_is_not_a_node_is_named(target, words):
    with pytest.raises(UsageError, match=words):
        node_class(target, ["tests"])


def test_knobs_are_checked_against_the_constructor():
    assert make_node("tests.apps.toys.Gain", {"gain": 2.0}, ["tests"]).gain == 2.0
    with pytest.raises(UsageError, match=r"no knob 'gian'\. Did you mean 'gain'"):
        make_node("tests.apps.toys.Gain", {"gian": 2.0}, ["tests"])


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"batch": 12.5}, "the knob batch is 12.5; it must be a whole number."),
        ({"batch": True}, "the knob batch is True; it must be a whole number."),
        ({"low": "abc"}, "the knob low is 'abc'; it must be a number."),
        ({"step": None}, "the knob step is None; it must be a number."),
    ],
)
def test_knobs_of_another_kind_than_the_class_says(knobs, said):
    with pytest.raises(UsageError, match=said):
        make_node("nodes.pitch.crepe.Crepe", knobs)
    make_node("nodes.pitch.crepe.Crepe", {"low": 66, "batch": 3})
    make_node("nodes.pitch.swift.Swift", {"threads": None})
    make_node("nodes.pitch.swift.Swift", {"threads": 2})
