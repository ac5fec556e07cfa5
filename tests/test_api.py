"""Headroom from Python: the same results as the command line's, nothing printed, no process ended, signals as they were."""

import json
import re
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines import api
from pipelines.config.flags import override
from pipelines.schema.errors import DoesNotFit, ExitCode, Interrupted, InvalidError, TaskFailed, UsageError
from tests.conftest import APPS

TOY = {"tier": "toy", "device": "simulated", "device.total": "1GiB", "memory_plot": False, "text": "x"}
OURS = {"config_dir": APPS, "selection": api.Selection(trust=("tests",))}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_plan_is_the_command_lines(headroom):
    made = api.plan("toy", **OURS, **TOY)
    assert made.variants["separate"] == "separate/big"
    words = [override(key, value) for key, value in TOY.items()]
    shown = headroom("plan", "pipeline=toy", *words, "--format", "json", toy=True)
    assert made.plan.to_json() == shown.out
    assert api.check(made.plan, made.problem).ok


def test_what_does_not_fit_is_raised_with_its_bytes_and_is_an_answer_of_fit():
    small = {**TOY, "tier.limit": "1MiB"}
    with pytest.raises(DoesNotFit) as error:
        api.plan("toy", **OURS, **small)
    assert error.value.refusal.limit_bytes == 2**20
    found = api.fit("toy", **OURS, **small)
    assert found.variants is None
    assert found.why_not == str(error.value)
    assert found.frontier[0].limit_bytes > 2**20, "what it would need is told all the same"
    assert api.fit("toy", **OURS, **TOY).variants == api.plan("toy", **OURS, **TOY).variants


def test_a_run_leaves_a_record_and_says_where_everything_is(capfd):
    detected, before = [], (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    result = api.run("toy", **OURS, **TOY, on_event=lambda event: detected.append(event.kind))
    assert (result.status, result.exit_code) == ("ok", ExitCode.OK)
    assert [path.read_text(encoding="utf-8") for path in result.finals] == ["0.100 s\n"]
    record = json.loads((result.folder / "run.json").read_text(encoding="utf-8"))
    assert (record["status"], record["measured_peak_bytes"]) == ("ok", result.peak_bytes)
    assert set(result.artifacts) == {"x/tone", "x/separate", "x/slow", "x/save"}
    assert api.check(result.folder).ok
    assert (detected[0], detected[-1]) == ("run_started", "run_finished")
    assert detected.count("step_finished") == len(result.plan.steps)
    assert capfd.readouterr() == ("", "")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_run_is_continued_with_its_own_settings():
    first = api.run("toy", **OURS, **TOY)
    again = api.run(resume=first.folder, selection=OURS["selection"])
    assert again.folder.resolve() == first.folder.resolve()
    assert (again.plan, again.peak_bytes) == (None, None), "nothing was left to do"
    assert again.finals


def test_a_failing_task_is_raised_or_told_in_the_result():
    failing = {**TOY, "text": "bad"}
    with pytest.raises(TaskFailed):
        api.run("failing", **OURS, **failing)
    kept = api.run("failing", **OURS, **failing, keep_going=True)
    assert (kept.status, kept.exit_code) == ("failed", ExitCode.TASK_FAILED)
    assert (list(kept.failed), kept.skipped) == (["bad/fail"], {"bad/save": "bad/fail"})
    assert list(kept.artifacts) == ["bad/tone"]


def test_a_cancelled_run_stops_before_its_next_step():
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Interrupted):
        api.run("toy", **OURS, **TOY, cancel=cancel)
    (record,) = Path("outputs").rglob("run.json")
    assert json.loads(record.read_text(encoding="utf-8"))["status"] == "interrupted"


def test_a_bare_problem_is_planned_from_its_file_or_as_it_is(tmp_path):
    made = api.plan("toy", **OURS, **TOY)
    file = tmp_path / "problem.json"
    file.write_text(made.problem.to_json())
    assert api.plan_problem(made.problem) == api.plan_problem(file) == made.plan
    with pytest.raises(DoesNotFit):
        api.plan_problem(replace(made.problem, limit_bytes=1))


def test_all_that_the_page_names_is_public():
    page = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\bapi\.(\w+)", page)) | set(re.findall(r"^\| `(\w+)\(", page, re.MULTILINE))
    assert named <= set(api.__all__)
    assert {name for name in api.__all__ if name.islower()} <= named, "the page lacks a function"


def test_a_changed_plan_is_found_out(tmp_path):
    made = api.plan("toy", **OURS, **TOY)
    body = json.loads(made.plan.to_json())
    body["peak_bytes"] += 1
    (tmp_path / "plan.json").write_text(json.dumps(body))
    (tmp_path / "problem.json").write_text(made.problem.to_json())
    verdict = api.check(tmp_path)
    assert (verdict.ok, verdict.exit_code) == (False, ExitCode.INVALID)
    assert "peak_bytes" in verdict.sentence
    with pytest.raises(UsageError, match="needs its problem"):
        api.check(made.plan)
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(InvalidError):
        api.check(tmp_path / "plan.json")


def test_unknown_names_are_sentences():
    with pytest.raises(UsageError, match="toy"):
        api.plan("tyo", **OURS, **TOY)
    with pytest.raises(UsageError, match="seed"):
        api.plan("toy", **OURS, **TOY, sead=1)


@pytest.mark.parametrize(
    "text", ["a, b = [c] {d}", "it's \\'here\\'", "null", "true", "${x}", "é \\", "", "12", "'quoted'", "a:b,c"]
)
def test_any_text_arrives_as_it_is(text):
    (item,) = api.plan("toy", **OURS, **TOY, artist=text).prepared.inventory.items
    assert item.settings.get("artist", "") == text
