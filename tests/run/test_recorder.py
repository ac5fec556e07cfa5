"""A run's record: one run at a time in a folder, and durations that no clock set back can spoil."""

import json
import re
import time
from types import SimpleNamespace

import pytest

import pipelines
from pipelines.run.recorder import Recorder, git_revision, surroundings
from pipelines.schema.errors import ExitCode, SurroundingsFailed
from pipelines.schema.record import Event


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


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_events_are_lines_and_progress_is_not_written(tmp_path):
    record = Recorder(tmp_path / "deep" / "run")
    record.open({})
    for kind in ("run_started", "progress", "sample", "warning"):
        record(Event(kind, 1.5, {"text": "é"}))
    events = tmp_path / "deep" / "run" / "events.jsonl"
    assert [line["event"] for line in lines(events)] == ["run_started", "sample", "warning"]  # while it goes on
    assert "é" in events.read_text(encoding="utf-8")
    record.close("ok", ExitCode.OK)


def test_finished_steps_are_in_the_record_with_the_fields_it_knows(tmp_path):
    record = Recorder(tmp_path)
    record.open({"pipeline": "karaoke"})
    running = json.loads((tmp_path / "run.json").read_text())
    assert (running["status"], running["exit_code"], running["pipeline"]) == ("running", None, "karaoke")
    record(Event("step_finished", 2.0, {"index": 3, "op": "load", "model": "m", "seconds": 1.0, "source": "kernel"}))
    record.update(more=1)
    record.close("failed", ExitCode.TASK_FAILED, error="so")
    body = json.loads((tmp_path / "run.json").read_text())
    assert (body["status"], body["exit_code"]) == ("failed", int(ExitCode.TASK_FAILED))
    assert (body["pipeline"], body["more"], body["error"]) == ("karaoke", 1, "so")
    assert body["steps"] == [
        {
            "op": "load", "model": "m", "predicted_peak_bytes": None, "measured_peak_bytes": None, "source": "kernel",
            "seconds": 1.0,
        },
    ]  # fmt: skip
    assert time.strptime(body["started"], "%Y-%m-%dT%H:%M:%S%z")
    assert not record.is_open


def test_a_later_run_in_the_folder_adds_to_its_events_and_its_log(tmp_path):
    for name in ("first", "second"):
        record = Recorder(tmp_path)
        record.open({})
        assert record.is_open
        record(Event("warning", 0.0, {"text": name}))
        record.log(name)
        record.close("ok", ExitCode.OK)
    assert [line["text"] for line in lines(tmp_path / "events.jsonl")] == ["first", "second"]
    logged = (tmp_path / "run.log").read_text().splitlines()
    assert [line.split(" ", 1)[1] for line in logged] == ["first", "second"]
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in logged)


def test_a_folder_that_takes_no_files_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SurroundingsFailed, match=r"outputs_dir=FOLDER"):
        Recorder(tmp_path / "file" / "run").open({})


def test_a_disk_that_is_full_is_said_and_does_not_hide_the_end(tmp_path, capsys, monkeypatch):
    record = Recorder(tmp_path)
    record.open({})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Event, "to_dict", full)
    with pytest.raises(SurroundingsFailed, match="No space left on device"):
        record(Event("warning", 0.0))
    monkeypatch.setattr("pipelines.run.recorder.write_atomic", full)
    record.close("failed", ExitCode.TASK_FAILED)
    assert "could not be finished" in capsys.readouterr().err
    monkeypatch.undo()
    again = Recorder(tmp_path)
    again.open({})  # the folder is nobody's any more
    again.close("ok", ExitCode.OK)


def test_a_commit_is_named_and_whether_files_differ_from_it(tmp_path, monkeypatch):
    monkeypatch.setattr(pipelines, "__file__", str(tmp_path / "pipelines" / "__init__.py"))
    assert git_revision() is None  # no checkout
    (tmp_path / ".git").mkdir()
    answers = {"rev-parse": " abc\n", "status": ""}

    def run(command, **given):
        assert given["cwd"] == tmp_path
        return SimpleNamespace(stdout=answers[command[1]])

    monkeypatch.setattr("subprocess.run", run)
    assert git_revision() == "abc"
    answers["status"] = " M file\n"
    assert git_revision() == "abc+changes"

    def missing(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr("subprocess.run", missing)
    assert git_revision() is None
    assert surroundings()["git_revision"] is None
    assert surroundings()["headroom"] == pipelines.__version__
