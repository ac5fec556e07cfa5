"""A config folder of the user's own (`-cd`): what it may add, what it may replace, and what a resumed run takes of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.config.catalog import conf_dir
from tests.conftest import APPS

TOY = ("pipeline=toy", "tier=toy", "device=simulated", "text=x", "memory_plot=false")


def mine(files):
    for name, text in files.items():
        path = Path("mine") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return ("-cd", "mine")


def shown(headroom, package, *arguments):
    result = headroom("run", *arguments, "pipeline=stems", "input=x.wav", "--cfg", "job", "--package", package)
    assert result.code == 0, result.err
    return result.out.strip()


def test_a_file_of_ours_may_be_replaced_by_one_of_the_same_name(headroom):
    own = mine({"tier/modest.yaml": "limit: 123 MiB\nstreams: 1\nallow: {separate: [center]}\n"})
    assert shown(headroom, "tier.limit", *own, "tier=modest") == "123 MiB"
    listed = headroom("list", "tiers", *own).out
    assert "123 MiB" in listed


def test_a_root_of_ones_own_adds_to_ours(headroom):
    own = mine({"config.yaml": "defaults: [base, _self_, {override tier: low_end}]\nseed: 5\n"})
    assert shown(headroom, "seed", *own) == "5"
    assert shown(headroom, "seed", *own, "seed=6") == "6"
    assert "2 GiB" in shown(headroom, "tier", *own)
    assert "3 GiB" in shown(headroom, "tier", *own, "tier=modest")


def test_a_copy_of_the_whole_tree_is_a_config_folder(headroom):
    shutil.copytree(conf_dir(), "mine")
    Path("mine/base.yaml").write_text(Path("mine/base.yaml").read_text().replace("seed: 0", "seed: 9"))
    assert shown(headroom, "seed", "-cd", "mine") == "9"


@pytest.mark.parametrize("text", ["seed: 5\n", "", "- a\n", "defaults: [_self_]\n", "defaults: {base: 1}\n"])
def test_a_root_that_leaves_ours_out_is_refused_with_what_to_write(headroom, text):
    result = headroom("run", *mine({"config.yaml": text}), "pipeline=stems", "input=x.wav")
    assert result.code == 2
    assert "mine/config.yaml" in result.err
    assert "`defaults: [base, _self_]`" in result.err
    assert not Path("outputs").exists()


def test_a_root_that_is_no_yaml_is_named(headroom):
    result = headroom("run", *mine({"config.yaml": "a: [\n"}), "pipeline=stems", "input=x.wav")
    assert result.code == 2
    assert "mine/config.yaml" in result.err


@pytest.mark.parametrize("way", ["config", "command line"])
def test_no_package_is_imported_to_look_for_configs(headroom, monkeypatch, way):
    Path("evil").mkdir()
    Path("evil/__init__.py").write_text("open('owned', 'w').close()\n")
    monkeypatch.syspath_prepend(str(Path.cwd()))
    arguments = mine({"config.yaml": "defaults: [base, _self_]\nhydra: {searchpath: [pkg://evil]}\n"})
    if way == "command line":
        arguments = ("hydra.searchpath=[pkg://evil]",)
    result = headroom("plan", *arguments, "pipeline=stems", "input=x.wav")
    assert result.code == 2
    assert "'pkg://evil' would import a package" in result.err
    assert not Path("owned").exists()


def test_more_folders_may_be_searched(headroom):
    mine({"tier/own.yaml": "limit: 5 MiB\nstreams: 1\n"})
    assert shown(headroom, "tier.limit", f"hydra.searchpath=[file://{Path.cwd()}/mine]", "tier=own") == "5 MiB"


def test_an_experiment_has_the_last_word_but_for_the_command_line(headroom):
    own = mine({"experiment/e.yaml": "# @package _global_\npipeline: {about: mine}\ntier: {limit: 7 MiB}\n"})
    assert shown(headroom, "pipeline.about", *own, "experiment=e") == "mine"
    assert shown(headroom, "tier.limit", *own, "experiment=e", "tier=modest") == "7 MiB"
    assert shown(headroom, "tier.limit", *own, "experiment=e", "tier.limit=8MiB") == "8MiB"


@pytest.mark.parametrize("plus", ["", "+"])
def test_experiments_are_found_and_unknown_ones_refused_with_what_there_is(headroom, plus):
    own = mine({"experiment/loud.yaml": "# @package _global_\nseed: 7\n"})
    assert shown(headroom, "seed", *own, f"{plus}experiment=loud") == "7"
    for arguments, message in ((own, "Did you mean 'loud'"), ((), "None are defined")):
        result = headroom("run", *arguments, "pipeline=stems", "input=x.wav", f"{plus}experiment=lowd")
        assert result.code == 2
        assert "There is no experiment 'lowd'" in result.err
        assert message in result.err
        assert "experiment/NAME.yaml" in result.err


@pytest.fixture
def begun(headroom, command):
    """The folder of a run that has done half its work, in a process of its own."""
    line = [*command, "run", "--trust", "tests", "-cd", str(APPS), "--until", "separate", *TOY]
    subprocess.run(line, check=True, capture_output=True, timeout=300)
    (path,) = Path("outputs").rglob("run.json")
    return path.parent


def test_a_resumed_run_finds_its_config_folder_but_is_never_lent_trust(headroom, begun):
    refused = headroom("run", "--resume", str(begun))
    assert refused.code == 2
    assert "That run was given --trust tests" in refused.err
    assert json.loads((begun / "run.json").read_text())["status"] == "ok"
    resumed = headroom("run", "--resume", str(begun), "--trust", "tests")
    assert resumed.code == 0, resumed.err
    assert "2 of 4 tasks are finished already" in resumed.out


def test_a_config_folder_that_is_gone_is_said(headroom, begun):
    file = begun / ".hydra" / "hydra.yaml"
    file.write_text(file.read_text().replace(str(APPS), "/gone/away"))
    result = headroom("run", "--resume", str(begun), "--trust", "tests")
    assert result.code == 2
    assert "/gone/away" in result.err
    assert "-cd FOLDER" in result.err
    assert headroom("run", "--resume", str(begun), "--trust", "tests", "-cd", str(APPS)).code == 0


@pytest.mark.parametrize("text", ["a: b\n", "hydra: {runtime: {config_sources: [1]}}\n", "a: [\n", ""])
def test_a_spoilt_record_is_a_sentence(headroom, begun, text):
    (begun / ".hydra" / "hydra.yaml").write_text(text)
    result = headroom("run", "--resume", str(begun), "--trust", "tests")
    assert result.code == 2
    assert ".hydra/hydra.yaml" in result.err


def test_the_config_folder_of_a_record_may_not_say_what_to_install(headroom):
    """A record may come from a stranger: only a folder that the command line names may ask for packages."""
    shutil.copytree(APPS, "mine")
    lines = (APPS / "model/separate/big.yaml").read_text()
    Path("mine/model/separate/own.yaml").write_text(lines + "environment: [evil==1.0]\n")
    only = ("--trust", "tests", *TOY, "tier.allow.separate=[own,small]", "--until", "separate")
    assert headroom("run", "-cd", "mine", *only).code == 0
    (path,) = Path("outputs").rglob("run.json")
    assert "its own environment is not built" in " ".join(json.loads(path.read_text())["notes"])
    shutil.rmtree(path.parent / "artifacts")
    result = headroom("run", "--resume", str(path.parent), "--trust", "tests", "model/separate=own")
    assert result.code == 2
    assert "would install packages" in result.err


def test_force_without_a_run_to_force_is_a_mistake(headroom):
    result = headroom("run", "--force", *TOY, toy=True)
    assert result.code == 2
    assert "--resume" in result.err


LOUDER = """
from pipelines.schema.node import Plain, Port
from pipelines.schema.values import Audio

class Louder(Plain):
    inputs = {"audio": Port("audio")}
    outputs = {"audio": Port("audio")}
    def __init__(self, gain: float = 2.0):
        if gain <= 0: raise ValueError("gain must be above 0.")
    def run(self, model, inputs, context):
        WORK
"""


@pytest.mark.parametrize(
    ("work", "code", "message"),
    [
        ('return {"audio": inputs["audio"]}', 0, ""),
        ('return {"oudio": inputs["audio"]}', 1, "a/louder gave no 'audio', which its `outputs` promise"),
        ("pass", 1, "a/louder gave no 'audio'"),
        (
            'return {"audio": inputs["audio"].read()}',
            1,
            "a/louder gave 'audio' as ndarray, and its `outputs` promise Audio",
        ),
        ("1 / 0", 1, "a/louder failed: ZeroDivisionError: division by zero (louder.py, line 11)"),
        ("return {", 2, "my_louder.louder cannot be imported: SyntaxError: '{' was never closed (louder.py, line 11)."),
    ],
)
def test_a_node_of_ones_own_is_told_what_is_wrong_with_it(headroom, monkeypatch, tmp_path, work, code, message):
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.startswith("my_louder")]:
        monkeypatch.delitem(sys.modules, name)
    Path("my_louder").mkdir()
    Path("my_louder/louder.py").write_text(LOUDER.replace("WORK", work), encoding="utf-8")
    first = "louder: {_target_: my_louder.louder.Louder, in: {audio: item.audio}}"
    second = "wav: {_target_: nodes.wav.Wav, in: {audio: louder.audio}}"
    own = mine({"pipeline/loud.yaml": f"nodes:\n  {first}\n  {second}\n"})
    soundfile.write("a.wav", np.full(8000, 0.1), 8000)
    result = headroom("run", *own, "--trust", "my_louder", "pipeline=loud", "input=a.wav", "memory_plot=false")
    assert result.code == code, result.err
    assert message in result.err
    assert "bug" not in result.err


def test_knobs_that_a_class_refuses_are_shown(headroom):
    soundfile.write("a.wav", np.full(8000, 0.1), 8000)
    result = headroom("plan", "pipeline=stems", "input=a.wav", "model/separate=center", "model.separate.knobs.low=abc")
    assert result.code == 2
    assert "the knob low is 'abc'; it must be a number" in result.err
