import sys

import pytest

from pipelines.node_classes import check_role, make_node, node_class, trusted_packages
from pipelines.schema.errors import UsageError
from pipelines.schema.roles import ROLES


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


@pytest.mark.parametrize(
    ("role", "target", "words"),
    [
        ("separate", "tests.apps.toys.Loud", "it has no output `vocals: audio`"),
        ("transcribe", "tests.apps.toys.Gain", "it has no output `words: words`"),
        ("pitch", "tests.apps.toys.Wrong", "its output `contour` is audio and not contour"),
        ("speak", "tests.apps.toys.Demanding", "it needs an input `voice`, which the role does not always give"),
    ],
)
def test_a_class_with_other_ports_than_its_role_s_is_refused(role, target, words):
    with pytest.raises(UsageError, match=f"{role}/x: {target} does not have the ports of the role {role}: .*{words}"):
        check_role(f"{role}/x", target, ROLES[role], ["tests"])


def test_what_a_role_gives_only_sometimes_may_be_left_out():
    check_role("convert/x", "tests.apps.toys.Loud", ROLES["convert"], ["tests"])
    assert "voice" in ROLES["convert"].inputs


def test_knobs_are_checked_against_the_constructor():
    assert make_node("tests.apps.toys.Gain", {"gain": 2.0}, ["tests"]).gain == 2.0
    with pytest.raises(UsageError, match=r"no knob 'gian'\. Did you mean 'gain'"):
        make_node("tests.apps.toys.Gain", {"gian": 2.0}, ["tests"])


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"batch": 12.5}, "the knob batch is 12.5; it must be a whole number."),
        ({"batch": True}, "the knob batch is True; it must be a whole number."),
        ({"low": "abc"}, "the knob low is 'abc'; it must be a number."),
        ({"step": None}, "the knob step is None; it must be a number."),
    ],
)
def test_knobs_of_another_kind_than_the_class_says(knobs, message):
    with pytest.raises(UsageError, match=message):
        make_node("nodes.pitch.crepe.Crepe", knobs)
    make_node("nodes.pitch.crepe.Crepe", {"low": 66, "batch": 3})
    make_node("nodes.pitch.swift.Swift", {"threads": None})
    make_node("nodes.pitch.swift.Swift", {"threads": 2})


@pytest.fixture
def current_folder(tmp_path, monkeypatch):
    """An empty current folder that is not on the path, as under an installed command; its packages are forgotten after."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


NODE = """
from pipelines.schema.node import Plain

class Here(Plain):
    inputs, outputs = {}, {}
    def run(self, model, inputs, context): return {}
"""


@pytest.mark.parametrize("marked", [False, True], ids=["folder", "package"])
def test_a_trusted_package_is_found_in_the_current_folder(current_folder, marked):
    (current_folder / "own_nodes").mkdir()
    (current_folder / "own_nodes" / "here.py").write_text(NODE)
    if marked:
        (current_folder / "own_nodes" / "__init__.py").write_text("")
    assert node_class("own_nodes.here.Here", trusted_packages(["own_nodes"])).__name__ == "Here"


def test_nothing_else_is_taken_from_the_current_folder(current_folder):
    (current_folder / "own_nodes").mkdir()
    (current_folder / "own_nodes" / "here.py").write_text("import planted_module\n" + NODE)
    (current_folder / "planted_module.py").write_text("")
    with pytest.raises(UsageError, match="no module 'planted_module'"):
        node_class("own_nodes.here.Here", trusted_packages(["own_nodes"]))
    with pytest.raises(UsageError, match="not allowed"):
        node_class("planted_module.Here", trusted_packages(["own_nodes"]))


def test_an_installed_package_comes_before_the_current_folder(current_folder):
    (current_folder / "nodes").mkdir()
    (current_folder / "nodes" / "wav.py").write_text("raise RuntimeError")
    assert "wav" in node_class("nodes.wav.Wav").__module__


def test_a_package_that_fails_to_import_is_not_left_half(current_folder):
    (current_folder / "own_nodes").mkdir()
    (current_folder / "own_nodes" / "__init__.py").write_text("raise OSError('broken')")
    for _ in range(2):
        with pytest.raises(UsageError, match="OSError: broken"):
            node_class("own_nodes.here.Here", ["own_nodes"])
