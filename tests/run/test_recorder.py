"""A run's record: one run at a time in a folder, and durations that no clock set back can spoil."""

import json
import time

import pytest

from pipelines.run.recorder import Recorder
from pipelines.schema.errors import ExitCode, SurroundingsFailed


def test_a_folder_belongs_to_one_run_at_a_time(tmp_path):
    first = Recorder(tmp_path)
    first.open({"who": "first"})
    with pytest.raises(SurroundingsFailed, match="still going"):
        Recorder(tmp_path).open({"who": "second"})
    assert json.loads((tmp_path / "run.json").read_text())["who"] == "first"
    first.close("ok", ExitCode.OK)
    second = Recorder(tmp_path)
    second.open({"who": "second"})
    second.close("ok", ExitCode.OK)


def test_a_clock_that_is_set_back_leaves_the_duration_as_it_was(tmp_path, monkeypatch):
    record = Recorder(tmp_path)
    record.open({})
    monkeypatch.setattr(time, "time", lambda: record.started - 3600)
    record.close("ok", ExitCode.OK)
    assert 0 <= json.loads((tmp_path / "run.json").read_text())["seconds"] < 60
