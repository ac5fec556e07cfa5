"""The JSON contracts as files somebody may already have: they read as before and are written with the same fields, or more.

A file here is never edited to make a test pass: a field may be added in a file of its own, none taken away or renamed.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.files import sha256_of
from pipelines.plan.check import check
from pipelines.run.artifacts import Artifacts, read_note
from pipelines.run.recorder import Recorder
from pipelines.schema.errors import ExitCode
from pipelines.schema.plan import Load, Plan, Run, Unload
from pipelines.schema.problem import Problem
from pipelines.schema.record import KINDS, STATUSES, Event, StepRecord
from pipelines.schema.refusal import Refusal
from pipelines.schema.values import Text

GOLDEN = Path(__file__).parent / "golden"


def golden(name):
    return json.loads((GOLDEN / name).read_text(encoding="utf-8"))


def within(old, new, where=""):
    """Everything in `old` is in `new` with its value; objects may have grown."""
    if isinstance(old, dict):
        assert isinstance(new, dict), where
        for key, value in old.items():
            assert key in new, f"{where}.{key} is gone"
            within(value, new[key], f"{where}.{key}")
    elif isinstance(old, list):
        assert len(old) == len(new), where
        for index, (mine, theirs) in enumerate(zip(old, new, strict=True)):
            within(mine, theirs, f"{where}[{index}]")
    else:
        assert (old, type(old)) == (new, type(new)), where


def test_a_problem_reads_with_its_defaults_and_is_written_with_all_it_had():
    problem = Problem.read(GOLDEN / "problem.json")
    whisper, transcribe, notes = problem.models["whisper"], problem.tasks[1], problem.tasks[2]
    assert (whisper.reload_seconds, whisper.load_peak_bytes, whisper.shareable) == (2.0, 1_620_000_000, False)
    assert (transcribe.output_bytes, notes.workspace_bytes, notes.seconds, notes.models) == (0, 0, 0.0, ())
    within(golden("problem.json"), problem.to_dict())


def test_a_plan_reads_is_written_the_same_and_holds_for_its_problem():
    plan = Plan.read(GOLDEN / "plan.json")
    assert {type(step) for step in plan.steps} == {Load, Run, Unload}
    assert any(isinstance(step, Load) and step.during for step in plan.steps), "no prefetch in the example"
    within(golden("plan.json"), plan.to_dict())
    verdict = check(Problem.read(GOLDEN / "problem.json"), plan)
    assert verdict.ok, verdict.sentence


def test_a_refusal_is_written_with_all_its_fields():
    data = golden("refusal.json")
    kept = {key: value for key, value in data.items() if key != "schema"}
    within(data, Refusal(**{**kept, "suggestions": tuple(kept["suggestions"])}).to_dict())


def test_events_are_written_with_all_their_fields():
    for line in (GOLDEN / "events.jsonl").read_text(encoding="utf-8").splitlines():
        data = json.loads(line)
        assert data["event"] in KINDS
        named = {key: value for key, value in data.items() if key not in ("event", "at")}
        within(data, json.loads(json.dumps(Event(data["event"], data["at"], named).to_dict())))


def test_an_event_says_when_it_was_even_where_it_says_how_long_it_took():
    line = Event("task_finished", 12.5, {"task": "a/b", "seconds": 3.0}).to_dict()
    assert (line["at"], line["seconds"]) == (12.5, 3.0)


def test_a_record_is_written_with_all_its_fields(tmp_path):
    data = golden("run.json")
    record = Recorder(tmp_path)
    record.open({key: data[key] for key in ("pipeline", "tier")})
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "running"
    record.steps = [StepRecord(**{**step, "tasks": tuple(step.get("tasks", ()))}) for step in data["steps"]]
    record.close("ok", ExitCode.OK)
    written = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert written["status"] in STATUSES
    within({**data, "seconds": written["seconds"], "started": written["started"]}, written)


def test_a_note_reads_and_one_written_now_has_all_its_fields(tmp_path):
    old = golden("done.json")
    (tmp_path / "done.json").write_text(json.dumps(old))
    assert read_note(tmp_path) == old
    artifacts = Artifacts(tmp_path / "artifacts")
    about = {
        key: old[key] for key in ("node", "item", "target", "variant", "weights", "knobs", "settings", "seed", "takes")
    }
    artifacts.save("song", "speak", {"text": Text("la", "en")}, about)
    folder = artifacts.folder("song", "speak")
    new = read_note(folder)
    assert set(old) <= set(new)
    assert new["sha256"] == {"text.json": sha256_of(folder / "text.json")}
    assert artifacts.is_done("song", "speak", about)


@pytest.mark.parametrize(
    "note",
    [
        {"outputs": {"a": {"type": "file", "file": "../../secret"}}, "sha256": {}},
        {"outputs": {"a": {"type": "file", "file": "/etc/passwd"}}, "sha256": {}},
        {"outputs": {"a": {"type": "file", "file": "x", "beside": ["../y"]}}, "sha256": {}},
        {"outputs": {"a": {"type": "file", "file": 5}}, "sha256": {}},
        {"outputs": {"a": {"type": "file", "file": "x\u0000y"}}, "sha256": {}},
        {"outputs": {"a": {"type": "file", "file": "x"}}, "sha256": {"../../secret": "0"}},
        {"outputs": {"a": {"type": "file", "file": "x"}}, "sha256": {}},
        {"outputs": {"a": {"type": "nonsense", "file": "x"}}, "sha256": []},
        {"outputs": {"a": {}}, "sha256": {}},
        {"outputs": {"a": {"type": "text"}}},
        {"outputs": []},
        [],
        5,
    ],
)
def test_a_hostile_note_never_counts_as_done(tmp_path, note):
    """A resumed folder may come from anybody: what it says is not believed beyond its own folder, nor without digests."""
    artifacts = Artifacts(tmp_path / "artifacts")
    folder = artifacts.folder("song", "speak")
    folder.mkdir(parents=True)
    (tmp_path / "secret").write_text("s")
    (folder / "done.json").write_text(json.dumps(note))
    assert artifacts.is_done("song", "speak", {}) is False
