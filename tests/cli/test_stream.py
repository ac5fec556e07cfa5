"""`headroom run` with nodes that stream: the same files as without, planned as one task, and a report."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.schema.ids import TaskId
from tests.conftest import APPS

DUB = ("pipeline=dub", "tier=streams", "device=simulated", "device.total=1GiB", "memory_plot=false")
TEXT = "text=one two three four five six seven eight nine ten"


def run_of(root="outputs"):
    (path,) = Path(root).rglob("run.json")
    return path.parent, json.loads(path.read_text(encoding="utf-8"))


def plan_of(folder):
    return json.loads((folder / "plan.json").read_text(encoding="utf-8"))


def files(folder):
    """Digests by file, and what the notes say of each node's outputs."""
    return {
        str(path.relative_to(folder)): json.loads(path.read_text(encoding="utf-8"))["sha256"]
        for path in sorted(folder.rglob("done.json"))
    }


def test_a_run_streams_reports_and_leaves_what_a_run_without_leaves(headroom):
    assert headroom("run", *DUB, TEXT, "outputs_dir=a", "stream.use=false", toy=True).code == 0
    result = headroom("run", *DUB, TEXT, "outputs_dir=b", toy=True)
    assert result.code == 0, result.err
    (apart, plain), (streamed, made) = run_of("a"), run_of("b")
    one, other = files(apart / "artifacts"), files(streamed / "artifacts")
    faded = "one-two-three-four-five/convert/done.json"
    assert len(other) == 3
    assert {name: one[name] for name in one if name != faded} == {name: other[name] for name in other if name != faded}
    # The changer was given pieces, which are joined by fades: equal but for rounding, and its note says so.
    assert json.loads((streamed / "artifacts" / faded).read_text(encoding="utf-8"))["in_pieces"] is True
    sound = [
        soundfile.read(folder / "artifacts" / faded.replace("done.json", "audio.wav"))[0]
        for folder in (apart, streamed)
    ]
    np.testing.assert_allclose(*sound, atol=1e-6)
    assert plain["stream"] == {}
    ((task, report),) = made["stream"].items()
    assert task == "one-two-three-four-five/speak+convert+wav"
    assert report["audio_seconds"] == pytest.approx(2.0)
    assert report["chunks"] >= 2
    assert report["utilisation_range"] == [0.4, 0.6]
    assert (report["paced"], report["rested_seconds"]) == (False, 0.0)
    assert "first audio after" in result.out
    events = [json.loads(line) for line in (streamed / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [event["task"] for event in events if event["event"] == "stream"] == [task]
    assert sum(event.get("text") == "this is said once" for event in events) == 1


def test_a_chain_is_planned_with_both_models_and_both_workspaces(headroom):
    assert headroom("run", *DUB, TEXT, toy=True).code == 0
    folder, made = run_of()
    problem = json.loads((folder / "problem.json").read_text(encoding="utf-8"))
    (task,) = problem["tasks"]
    assert task["models"] == ["convert/double", "speak/say"]
    assert task["workspace_bytes"] >= 12 << 20
    assert plan_of(folder)["peak_bytes"] >= 62 << 20
    assert {step["op"] for step in made["steps"]} == {"load", "run", "unload"}
    assert all(step["measured_peak_bytes"] <= made["limit_bytes"] for step in made["steps"])


def test_where_the_chain_does_not_fit_it_runs_node_by_node_and_says_so(headroom):
    result = headroom("run", *DUB, TEXT, "tier.limit=60MiB", toy=True)
    assert result.code == 0, result.err
    folder, made = run_of()
    assert "one-two-three-four-five/speak+convert+wav does not stream" in result.out
    assert sum(step["op"] == "run" for step in made["steps"]) == 3
    assert made["stream"] == {}
    assert (folder / "artifacts/one-two-three-four-five/wav/one-two-three-four-five.wav").exists()


@pytest.mark.parametrize("residency", ["planned", "normal", "sequential"])
def test_the_smallest_limits_are_told_with_streaming_and_without(headroom, residency):
    """Each is the smallest: one byte below it does not plan, or does not stream. Where all stay, it is only searched for."""
    reported = headroom("explain", *DUB, TEXT, f"+tier.residency={residency}", toy=True).out
    found = [int(count) for count in re.findall(r"(?:smallest limit|Streaming) .*\((\d+) bytes\)", reported)]

    def under(limit):
        return headroom("plan", *DUB, TEXT, f"+tier.residency={residency}", f"tier.limit={limit}", toy=True)

    assert under(found[0]).code == 0
    assert under(found[0] - 1).code == 4 or residency == "normal"
    if residency == "sequential":
        assert len(found) == 1
        return
    _, streaming = found
    assert "convert+wav" in reported
    (price,) = re.findall(rf"-.* would (.*)\.\nThe smallest limit .*\({found[0]} bytes\)", reported)
    assert price.startswith("run 1 task node by node, without streaming")
    assert "does not stream" not in under(streaming).out
    assert "does not stream" in under(streaming - 1).out


def test_only_as_many_items_stream_as_fit(headroom):
    Path("t.jsonl").write_text('{"text": "a b c", "name": "x"}\n{"text": "d e f", "name": "y"}\n', encoding="utf-8")
    result = headroom("run", *DUB, "input=t.jsonl", toy=True)
    assert result.code == 0, result.err
    _, made = run_of()
    assert sorted(made["stream"]) == ["x/speak+convert+wav", "y/speak+convert+wav"]
    assert [step["op"] for step in made["steps"]].count("load") == 2
    assert "2 streams: first audio after" in result.out


def test_one_model_at_a_time_means_no_streaming_between_two(headroom):
    result = headroom("plan", *DUB, TEXT, "+tier.residency=sequential", toy=True)
    assert result.code == 0, result.err
    assert "keeps one model at a time" in result.out


def test_a_node_that_wants_its_sound_whole_is_given_it(headroom):
    result = headroom("run", *DUB, TEXT, "model/convert=whole", toy=True)
    assert result.code == 0, result.err
    _, made = run_of()
    assert "convert waits for all of speak's sound" in result.out
    assert made["stream"] == {}


def test_pace_rests(headroom):
    assert headroom("run", *DUB, TEXT, "stream.pace=true", toy=True).code == 0
    _, made = run_of()
    (report,) = made["stream"].values()
    assert report["paced"]


def test_a_node_that_loses_frames_is_run_as_without_streaming(headroom):
    result = headroom("run", *DUB, TEXT, "model/convert=double", "model.convert.knobs.shorter=80", toy=True)
    assert result.code == 0, result.err
    assert "streaming ended" in result.out
    folder, made = run_of()
    assert made["stream"] == {}
    assert len(files(folder / "artifacts")) == 3


def test_a_failing_node_fails_alone_and_what_was_before_it_is_kept(headroom):
    result = headroom(
        "run", "-k", *DUB, TEXT, "model/convert=double", "model.convert.knobs.fails=no voice today", toy=True
    )
    assert result.code == 1
    folder, made = run_of()
    name = "one-two-three-four-five"
    assert list(made["failed"]) == [f"{name}/convert"]
    assert made["skipped"] == {f"{name}/wav": f"{name}/convert"}
    assert list(files(folder / "artifacts")) == [f"{name}/speak/done.json"]
    assert not (folder / "artifacts" / name / "convert").exists()


def test_resume_and_parts_work_on_a_chain(headroom):
    assert headroom("run", "--until", "speak", *DUB, TEXT, toy=True).code == 0
    folder, _ = run_of()
    note = folder / "artifacts/one-two-three-four-five/speak/done.json"
    before = note.stat().st_mtime_ns
    result = headroom("run", "--resume", str(folder), toy=True)
    assert result.code == 0, result.err
    assert "1 of 3 tasks are finished already" in result.out
    assert note.stat().st_mtime_ns == before
    again = headroom("run", "--resume", str(folder), toy=True)
    assert "3 of 3 tasks are finished already" in again.out
    assert headroom("run", "--resume", str(folder), "--only", "wav", "--force", toy=True).code == 0


@pytest.mark.parametrize("how", [{"use": "maybe"}, {"pace": "3"}])
def test_stream_settings_are_true_or_false(headroom, how):
    ((key, value),) = how.items()
    result = headroom("plan", *DUB, TEXT, f"stream.{key}={value}", toy=True)
    assert result.code == 2
    assert f"stream.{key}" in result.err


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_stopped_in_the_middle_leaves_no_half_written_file(tmp_path, name, code):
    command = [sys.executable, "-m", "pipelines.cli.main", "run", "--trust", "tests", "-cd", str(APPS), *DUB, TEXT,
               "model/speak=say", f"model.speak.knobs.send={name}", "model.speak.knobs.slow=0.01"]  # fmt: skip
    import os

    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False, env=environment
    )
    assert done.returncode == code, done.stderr
    folder, made = run_of(tmp_path / "outputs")
    assert (made["status"], made["exit_code"]) == ("interrupted", code)
    assert not [path for path in (folder / "artifacts").rglob("*") if path.is_file()]


def test_what_was_stopped_is_done_again_on_resume(headroom):
    with pytest.MonkeyPatch.context() as patch:
        from tests.apps import streams

        def stopped(self, model, inputs, chunks, context):
            yield from real(self, model, inputs, chunks, context)
            raise KeyboardInterrupt

        real = streams.Say.stream
        patch.setattr(streams.Say, "stream", stopped)
        assert headroom("run", *DUB, TEXT, toy=True).code == 130
    folder, made = run_of()
    assert made["status"] == "interrupted"
    assert headroom("run", "--resume", str(folder), toy=True).code == 0
    assert len(files(folder / "artifacts")) == 3


def test_memory_that_runs_out_in_a_stream_leads_down_the_ladder_to_node_by_node(headroom, monkeypatch):
    """Caches are freed, the chain is tried again, then the rest is planned without streaming, and it works."""
    from tests.apps import streams

    real, tries = streams.Double.run, []

    def short_of_memory(self, model, inputs, context):
        tries.append(inputs["audio"].seconds)
        if len(tries) <= 3:
            raise MemoryError
        return real(self, model, inputs, context)

    monkeypatch.setattr(streams.Double, "run", short_of_memory)
    result = headroom("run", *DUB, TEXT, toy=True)
    assert result.code == 0, result.err
    folder, made = run_of()
    assert tries[-1] == pytest.approx(2.0)  # whole, as without streaming
    assert made["stream"] == {}
    assert len(files(folder / "artifacts")) == 3
    tasks = [step["tasks"] for step in plan_of_last(folder)["steps"] if step["op"] == "run"]
    assert [TaskId.parse(task).node for (task,) in tasks] == ["speak", "convert", "wav"]


def plan_of_last(folder):
    """`plan.json`, `plan-2.json`...: times would not do, two may be written within a tick of the file system's clock."""
    last = max(folder.glob("plan*.json"), key=lambda path: (len(path.name), path.name))
    return json.loads(last.read_text(encoding="utf-8"))


def test_a_model_of_a_chain_that_cannot_be_loaded_fails_its_own_node_only(headroom, monkeypatch):
    from tests.apps import streams

    def broken(self, place):
        raise OSError("the file is cut off")

    monkeypatch.setattr(streams.Double, "load", broken)
    result = headroom("run", "-k", *DUB, TEXT, toy=True)
    assert result.code == 1
    folder, made = run_of()
    name = "one-two-three-four-five"
    assert list(made["failed"]) == [f"{name}/convert"]
    assert list(files(folder / "artifacts")) == [f"{name}/speak/done.json"]


@pytest.mark.slow
def test_nodes_in_processes_of_their_own_stream_too(headroom, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    assert headroom("run", *DUB, TEXT, "outputs_dir=a", toy=True).code == 0
    apart = (
        "model/speak=say",
        "+model.speak.isolation=process",
        "model/convert=double",
        "+model.convert.isolation=process",
    )
    result = headroom("run", *DUB, TEXT, *apart, "outputs_dir=b", toy=True)
    assert result.code == 0, result.err
    (here, first), (there, second) = run_of("a"), run_of("b")
    assert files(here / "artifacts") == files(there / "artifacts")
    assert list(first["stream"]) == list(second["stream"])
