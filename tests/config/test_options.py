"""Settings of the wrong kind, and overrides that are none: a sentence with the thing and the next step, exit 2, nothing left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

DUB = ("pipeline=dub", "text=hi", "tier.allow.speak=[espeak]", "tier.allow.convert=[world]")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=abc", "seed is 'abc'; it must be a whole number from 0."),
        ("seed=-1", "seed is -1; it must be a whole number from 0."),
        ("seed=1e400", "seed is inf; it must be a whole number from 0."),
        ("seed=null", "seed= needs a value"),
        ("seed=${seed}", "Recursive interpolation"),
        ("outputs_dir=", "outputs_dir= needs a value"),
        ("language=klingon", "ISO 639"),
        ("language=5", "ISO 639"),
        ("offline=maybe", "true or false"),
        ("memory_plot=maybe", "true or false"),
        ("accept_licence=5", "accept_licence=[xtts]"),
        ("memory_mode=balansed", "Did you mean 'balanced'?"),
        ("stream.use=maybe", "stream.use is 'maybe'; it must be true or false."),
        ("++stream=true", "stream is True; it must be settings by name."),
        ("+stream.rest=true", "stream: there is no setting 'rest'. Known: pace, use."),
        ("text=[a,b]", "not one text"),
        ("tier=[a]", "There is no tier 'a'"),
        ("pipeline=nan", "must be a string"),
        ("banana", "'banana' cannot be read as an override"),
        ("=", "override"),
    ],
)
def test_a_setting_of_the_wrong_kind_is_named(headroom, tmp_path, override, message):
    for verb in ("plan", "run"):
        result = headroom(verb, *DUB, override)
        assert (result.code, result.out) == (2, "")
        assert message in result.err
        assert "bug" not in result.err
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_sweep_without_a_pipeline_asks_for_one(headroom):
    result = headroom("run", "-m", "text=hi")
    assert result.code == 2
    assert "Say which pipeline" in result.err


@pytest.mark.parametrize("name", ["/", "nope.json", "."])
def test_check_names_the_plan_that_is_not_there(headroom, name):
    result = headroom("check", name)
    assert result.code == 2
    assert name in result.err
    assert "problem.json" not in result.err


@pytest.mark.parametrize("sink", ["closed", "full"])
def test_a_reader_that_leaves_ends_nothing_and_a_full_one_is_said(tmp_path, sink):
    """`headroom list | head -1` is no failure of ours; a full disk behind `>` is the surroundings'."""
    with open("/dev/full" if sink == "full" else os.devnull, "w") as full:
        read, write = os.pipe()
        os.close(read)
        out = full if sink == "full" else write
        done = subprocess.run([sys.executable, "-m", "pipelines.cli.main", "list", "pipelines"], check=False, cwd=tmp_path, stdout=out,
                              stderr=subprocess.PIPE, text=True, timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
        os.close(write)
    assert "bug" not in done.stderr
    assert "Traceback" not in done.stderr
    assert (done.returncode, "No space left" in done.stderr) == ((6, True) if sink == "full" else (0, False))


def test_a_blocked_outputs_folder_is_the_surroundings_and_leaves_nothing(headroom, tmp_path):
    (tmp_path / "blocked").write_text("in the way")
    result = headroom("run", *DUB, "outputs_dir=blocked")
    assert result.code == 6
    assert "outputs_dir" in result.err
    assert [entry.name for entry in tmp_path.iterdir()] == ["blocked"]
