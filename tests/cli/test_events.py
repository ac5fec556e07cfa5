"""Every line of `events.jsonl` and every note of a task has the fields that docs/formats.md says, and no others."""

import ast
import json
from pathlib import Path

import jsonschema
import pytest

from pipelines import api
from pipelines.schema.formats import RUN, TASK_NOTE
from pipelines.schema.record import KINDS
from tests.conftest import APPS
from tests.events_reader import read_events

ON = ("device=simulated", "device.total=1GiB", "memory_plot=false")
RUNS = {
    "plain": (
        ("pipeline=toy", "tier=toy", "text=x"),
        0,
        {"run_started", "step_started", "step_finished", "task_finished"},
    ),
    "failing": (("-k", "pipeline=failing", "tier=toy", "text=bad"), 1, {"task_failed", "task_skipped", "run_finished"}),
    "streaming": (("pipeline=dub", "tier=streams", "text=one two three four five six"), 0, {"stream"}),
}


@pytest.mark.parametrize("name", RUNS)
def test_what_a_run_writes_is_what_the_page_says(headroom, name):
    arguments, code, kinds = RUNS[name]
    result = headroom("run", *ON, *arguments, toy=True)
    assert result.code == code, result.err
    folder = next(Path("outputs").rglob("run.json")).parent
    assert kinds <= {event["event"] for event in read_events(folder)}
    fits(RUN, folder / "run.json")
    notes = list(folder.rglob("done.json"))
    assert notes
    for note in notes:
        fits(TASK_NOTE, note)


def fits(each, file):
    """The file fits its schema, and every field of it is in the table."""
    written = json.loads(file.read_text(encoding="utf-8"))
    jsonschema.validate(written, each.schema(), jsonschema.Draft202012Validator)
    assert set(written) <= {field.name for field in each.whole.fields}
    output, known = each.parts[0], {field.name for field in each.parts[0].fields}
    for entry in written["outputs"].values() if output.title == "Outputs" else written["steps"]:
        assert set(entry) <= known


def test_progress_is_for_observers_only(headroom, tmp_path):
    seen = []
    toy = {"tier": "toy", "device": "simulated", "device.total": "1GiB", "memory_plot": False, "text": "x"}
    api.run("toy", config_dir=APPS, selection=api.Selection(trust=("tests",)), on_event=seen.append, **toy)
    progress = [event for event in seen if event.kind == "progress"]
    assert progress
    assert not KINDS["progress"].written
    assert {name for event in progress for name in event.data} == set(KINDS["progress"].always)


def emitted():
    """(file and line, kind, names of its fields) of every call of `emit` with a kind written out."""
    for path in sorted((Path(__file__).parents[2] / "pipelines").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = getattr(node, "func", None)
            name = getattr(called, "attr", None) or getattr(called, "id", None)
            if name in ("emit", "_emit") and isinstance(node.args[0], ast.Constant):
                yield f"{path.name}:{node.lineno}", node.args[0].value, {word.arg for word in node.keywords if word.arg}


def test_every_event_that_the_code_emits_is_of_a_kind_and_says_no_more_than_it():
    calls = list(emitted())
    assert len(calls) > 15
    assert {kind for _, kind, _ in calls} == set(KINDS) - {"run_finished"}, "which is made after the last step"
    for place, kind, fields in calls:
        assert fields <= set(KINDS[kind].always) | set(KINDS[kind].sometimes), place
