"""Run folders: one each, whoever begins when."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parents[2]
DUB = ("pipeline=dub", "text=hi", "tier.allow.speak=[espeak]", "tier.allow.convert=[world]")


@pytest.mark.slow
def test_runs_begun_at_once_have_a_folder_each(tmp_path):
    command = [sys.executable, "-m", "pipelines.cli.main", "run", *DUB, "memory_plot=false"]

    def begin(_):
        return subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=300,
                              env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip

    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(begin, range(3)))
    assert [run.returncode for run in done] == [0, 0, 0], [run.stderr for run in done]
    records = list((tmp_path / "outputs").rglob("run.json"))
    assert len(records) == 3
    assert all(json.loads(path.read_text())["status"] == "ok" for path in records)


@pytest.mark.slow
def test_a_sweep_may_change_what_the_tier_allows(headroom):
    """With tier=auto, too, whose own file allows nothing; brackets on the command line are no markup."""
    result = headroom("run", "-m", *DUB, "memory_plot=false", "seed=1,2")
    assert result.code == 0, result.err
    assert "[espeak]" in result.out
    assert len(list(Path("outputs").rglob("run.json"))) == 2


@pytest.mark.filterwarnings("ignore:pkg_resources is deprecated")  # pyworld still asks it for its version
def test_the_summary_names_what_the_end_of_the_pipeline_made(headroom):
    result = headroom("run", *DUB, "memory_plot=false")
    assert result.code == 0, result.err
    assert "artifacts/hi/wav/hi.wav" in result.out.replace("\n", "")
    assert "speak/audio.wav" not in result.out


def test_an_interrupted_run_says_how_to_go_on(headroom):
    result = headroom(
        "run",
        "pipeline=toy",
        "tier=toy",
        "tier.limit=4GiB",
        "text=slow",
        "++pipeline.nodes.slow.knobs.send=SIGTERM",
        toy=True,
    )
    assert result.code == 143
    (record,) = Path("outputs").rglob("run.json")
    assert f"--resume {record.parent.resolve()}" in result.err.replace("\n", "")
    assert json.loads(record.read_text())["status"] == "interrupted"


@pytest.mark.slow
def test_onnx_runtime_writes_nothing_into_the_home_folder(tmp_path, command):
    """Left to itself it keeps a number of the machine and what it will report in `~/.cache/Microsoft`."""
    soundfile.write(tmp_path / "a.wav", 0.1 * np.sin(np.arange(16000) * 0.1), 16000)
    own = tmp_path / "own" / "pipeline" / "tracked.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("nodes:\n  pitch: {role: pitch, in: {audio: item.audio}}\n", encoding="utf-8")
    (tmp_path / "home").mkdir()
    unset = ("XDG_CACHE_HOME", "ORT_DISABLE_TELEMETRY", "CI")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    words = ("run", "-cd", "own", "pipeline=tracked", "input=a.wav", "model/pitch=swift_f0", "memory_plot=false")
    done = subprocess.run([*command, *words], cwd=tmp_path, check=False, capture_output=True, text=True, timeout=300,
                          env={**environment, "HOME": str(tmp_path / "home")})  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "home").rglob("*Microsoft*")) == []
