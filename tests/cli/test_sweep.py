"""Sweeps: a process a job, what went wrong said for each, one table at the end; also for one that is stopped half-way."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import APPS

TOY = ("pipeline=toy", "tier=toy", "device=simulated", "device.total=1GiB", "memory_plot=false", "text=x")
STEMS = ("pipeline=stems", "model/separate=center", "memory_plot=false")

pytestmark = pytest.mark.slow


def sweep_folder():
    (folder,) = Path("outputs/sweeps").glob("*/*")
    return folder


def rows():
    with (sweep_folder() / "sweep.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_failing_job_ends_no_other_and_says_why_under_the_table(headroom):
    samples = np.full(8000, 0.1)
    soundfile.write("good.wav", samples, 8000)
    samples[4000] = np.nan
    soundfile.write("bad.wav", samples, 8000, subtype="FLOAT")
    Path("mine/experiment").mkdir(parents=True)
    for name in ("good", "bad"):
        Path(f"mine/experiment/{name}.yaml").write_text(f"# @package _global_\ninput: {name}.wav\n")
    result = headroom("run", "-m", "-k", "-cd", "mine", *STEMS, "experiment=bad,good")
    assert result.code == 1
    assert [(row["experiment"], row["status"], row["exit_code"]) for row in rows()] == [
        ("bad", "failed", "1"),
        ("good", "ok", "0"),
    ]
    table = result.out[result.out.rindex("experiment  status") :]
    assert "job 0: bad/separate: bad.wav has samples that are not numbers (the first at 0.50 s)" in table
    assert "job 1:" not in table
    assert "error: error" not in result.out


def test_the_table_has_values_as_they_were_typed(headroom):
    name = "it's one, two.wav"
    soundfile.write(name, np.full(8000, 0.1), 8000)
    result = headroom("run", "-m", *STEMS, f"input={name}", "seed=1")
    assert result.code == 0, result.err
    assert [row["input"] for row in rows()] == [name]


def test_a_swept_pipeline_has_a_folder_of_both(headroom):
    result = headroom("run", "-m", "pipeline=stems,karaoke", "input=nowhere.wav")
    assert result.code == 1
    assert sweep_folder().parent.name == "several"
    assert [row["pipeline"] for row in rows()] == ["stems", "karaoke"]
    assert result.out.count("There is no file 'nowhere.wav'") == 2


@pytest.mark.parametrize("override", ["tier=toy,tou", "pipeline=toy,toi", "sead=1,2", "model/separate=big,bog"])
def test_a_name_that_is_wrong_in_one_job_begins_none_and_leaves_nothing(headroom, override):
    result = headroom("run", "-m", *TOY, override, toy=True)
    assert result.code == 2
    assert "Did you mean" in result.err
    assert not [path for path in Path("outputs").rglob("*") if path.is_file()]


def test_what_lies_in_the_folder_one_is_in_is_not_taken_for_ours(headroom):
    for package in ("pipelines", "nodes"):
        Path(package).mkdir()
        Path(package, "__init__.py").write_text("open('owned', 'w').close()\n")
    soundfile.write("good.wav", np.full(8000, 0.1), 8000)
    result = headroom("run", "-m", *STEMS, "input=good.wav", "seed=1")
    assert result.code == 0, result.err
    assert not Path("owned").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_sweep_ends_its_job_properly_and_begins_no_other(tmp_path, monkeypatch, command, number, code):
    monkeypatch.chdir(tmp_path)
    line = [
        *command,
        "run",
        "-m",
        "--trust",
        "tests",
        "-cd",
        str(APPS),
        *TOY,
        "++pipeline.nodes.slow.knobs.seconds=60,61",
    ]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 300
        while not list(Path("outputs").rglob("artifacts/x/separate/done.json")):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=300)
    assert process.returncode == code, err
    assert [(row["job"], row["status"], row["exit_code"]) for row in rows()] == [("0", "interrupted", str(code))]
    assert json.loads((sweep_folder() / "0" / "run.json").read_text())["status"] == "interrupted"
    assert "--resume" in out
    assert "The sweep was stopped." in err.strip().splitlines()[-1]
