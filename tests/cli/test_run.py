import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import APPS

TOY = ("pipeline=toy", "tier=toy", "device=simulated", "device.total=1GiB", "memory_plot=false")


def run_folder(root=None):
    (folder,) = [path.parent for path in Path(root or "outputs").rglob("run.json")]
    return folder


def record(root=None):
    return json.loads((run_folder(root) / "run.json").read_text(encoding="utf-8"))


def test_a_run_leaves_what_the_contract_says(headroom):
    result = headroom("run", *TOY, "text=Hello, world", toy=True)
    assert result.code == 0, result.err
    folder = run_folder()
    assert folder.parts[-3:-1] == ("toy", "toy")
    names = {path.name for path in folder.iterdir()}
    assert {
        ".hydra",
        "config_resolved.yaml",
        "problem.json",
        "plan.json",
        "graph.mmd",
        "run.log",
        "run.json",
        "events.jsonl",
        "artifacts",
    } <= names
    made = record()
    assert (made["status"], made["exit_code"], made["seed"]) == ("ok", 0, 0)
    assert made["variants"]["separate"]["name"] == "separate/big"
    assert sorted(step["op"] for step in made["steps"]) == ["load", "run", "run", "run", "run", "unload"]
    assert all(step["measured_peak_bytes"] <= made["limit_bytes"] for step in made["steps"])
    assert (folder / "artifacts/Hello-world/save/Hello-world.txt").read_text(encoding="utf-8") == "0.100 s\n"
    assert str(folder / "artifacts/Hello-world/save/Hello-world.txt") in result.out
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert events[0]["event"] == "run_started"
    assert events[-1]["event"] == "run_finished"


def test_the_same_command_gives_the_same_artifacts(headroom):
    for seed, out in ((1, "a"), (1, "b"), (2, "c")):
        assert headroom("run", *TOY, "text=x", f"seed={seed}", f"outputs_dir={out}", toy=True).code == 0
    first, second, other = (record(out)["artifacts"] for out in "abc")
    assert first == second != other


def test_the_plan_s_certificate_is_checked_from_the_files_alone(headroom):
    assert headroom("run", *TOY, "text=x", toy=True).code == 0
    plan = run_folder() / "plan.json"
    assert headroom("check", str(plan)).code == 0
    data = json.loads(plan.read_text(encoding="utf-8"))
    data["peak_bytes"] -= 1
    plan.write_text(json.dumps(data), encoding="utf-8")
    assert headroom("check", str(plan)).code == 3


def test_a_smaller_variant_is_taken_where_the_best_does_not_fit_and_said(headroom):
    result = headroom("plan", *TOY, "text=x", "tier.limit=30MiB", toy=True)
    assert result.code == 0
    assert "separate/small" in result.out
    assert "separate/big" in result.out  # and why not


def test_what_the_user_pinned_is_never_swapped(headroom):
    result = headroom("plan", *TOY, "text=x", "tier.limit=30MiB", "model/separate=big", toy=True)
    assert result.code == 4
    assert "x/separate" in result.err
    assert "23 MiB" in result.err  # (40 + 4) MiB and a declared figure's 20 % are 53 MiB


def test_missing_weights_of_a_pinned_variant_say_where_was_looked(headroom):
    result = headroom("run", *TOY, "text=x", "model/separate=absent", toy=True)
    assert result.code == 1
    assert "separate/absent" in result.err
    assert "nowhere" in result.err


def test_refusals_as_json(headroom):
    result = headroom("plan", "--format", "json", *TOY, "text=x", "tier.limit=1MiB", toy=True)
    assert result.code == 4
    refusal = json.loads(result.out)
    assert refusal["schema"] == "headroom/refusal/1"
    assert refusal["proved"] is True
    assert refusal["short_bytes"] == refusal["needed_bytes"] - refusal["limit_bytes"] > 0
    assert refusal["suggestions"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("pipeline=toi",), 2, "Did you mean 'toy'"),
        (("pipeline=toy", "tier=modst"), 2, "Did you mean 'modest'"),
        (("pipeline=toy", "model/separate=bg"), 2, "Did you mean 'big'"),
        (("pipeline=toy", "modell/separate=big"), 2, "model/separate"),
        (("pipeline=toy", "tier.limt=3GiB"), 2, "limit"),
        (("pipeline=toy", "sead=1"), 2, "Did you mean 'seed'"),
        (("pipeline=toy", "tier.limit=much"), 2, "3 GiB"),
        (("pipeline=toy", "device=gpu"), 2, "cuda"),
        (("pipeline=toy", "tier.limit=900GiB"), 2, "more than"),
        (("pipeline=port",), 2, "no input 'txt'. Did you mean 'text'"),
        (("pipeline=node",), 2, "no node 'tune'. Did you mean 'tone'"),
        (("pipeline=key",), 2, "no setting 'inn'. Did you mean 'in'"),
        (("pipeline=knob",), 2, "no knob 'second'. Did you mean 'seconds'"),
        (("pipeline=outside",), 2, "'os.system' is not allowed"),
        (("pipeline=circle",), 3, "cycle"),
        (("pipeline=producers",), 3, "2 producers"),
        (("pipeline=toy", "--onyl", "tone"), 2, "--onyl"),
        (("pipeline=toy", "--only", "tune"), 2, "Did you mean 'tone'"),
        ((), 2, "pipeline"),
    ],
)
def test_mistakes_are_sentences_and_leave_nothing(headroom, arguments, code, words):
    result = headroom("run", *arguments, "text=x", toy=True)
    assert (result.code, words in result.err) == (code, True), result.err
    assert "Traceback" not in result.err
    assert not list(Path.cwd().rglob("outputs/**/*.*"))


def test_unknown_verb(headroom):
    result = headroom("rn")
    assert result.code == 2
    assert "Did you mean 'run'" in result.err


def test_a_failing_task_stops_the_run_and_names_itself_last(headroom):
    Path("t.jsonl").write_text('{"text": "bad one"}\n{"text": "good one"}\n', encoding="utf-8")
    result = headroom("run", "pipeline=failing", "tier=toy", "device=simulated", "input=t.jsonl", toy=True)
    assert result.code == 1
    assert (
        result.err.strip()
        .splitlines()[-1]
        .startswith("error: bad-one/fail failed: ValueError: this one is bad (toys.py, line ")
    )
    assert record()["status"] == "failed"


def test_keep_going_finishes_what_does_not_need_the_failed_task(headroom):
    Path("t.jsonl").write_text('{"text": "bad one"}\n{"text": "good one"}\n', encoding="utf-8")
    result = headroom("run", "-k", "pipeline=failing", "tier=toy", "device=simulated", "input=t.jsonl", toy=True)
    assert result.code == 1
    made = record()
    assert list(made["failed"]) == ["bad-one/fail"]
    assert made["skipped"] == {"bad-one/save": "bad-one/fail"}
    assert any(name.startswith("good-one/save/") for name in made["artifacts"])
    assert not any(name.startswith("bad-one/fail/") for name in made["artifacts"])


def test_resume_keeps_finished_tasks(headroom):
    text = ("pipeline=toy", "tier=toy", "device=simulated", "text=x")
    assert headroom("run", "--until", "separate", *text, toy=True).code == 0
    folder = run_folder()
    before = (folder / "artifacts/x/separate/done.json").stat().st_mtime_ns
    result = headroom("run", "--resume", str(folder), toy=True)
    assert result.code == 0, result.err
    assert "2 of 4 tasks are finished already" in result.out
    assert (folder / "artifacts/x/separate/done.json").stat().st_mtime_ns == before
    assert (folder / "artifacts/x/save/x.txt").exists()


def test_resume_does_again_what_was_made_of_something_else(headroom):
    text = ("pipeline=toy", "tier=toy", "device=simulated", "text=x")
    assert headroom("run", *text, "model/separate=small", toy=True).code == 0
    folder = run_folder()
    quiet = (folder / "artifacts/x/slow/audio.wav").read_bytes()
    result = headroom("run", "--resume", str(folder), "--only", "separate", "model/separate=big", toy=True)
    assert result.code == 0, result.err
    assert (folder / "artifacts/x/slow/audio.wav").read_bytes() == quiet, "it was not asked for"
    result = headroom("run", "--resume", str(folder), "model/separate=big", toy=True)
    assert result.code == 0, result.err
    assert "2 of 4 tasks are finished already" in result.out
    made = (folder / "artifacts/x/slow/audio.wav").read_bytes()
    assert made != quiet
    assert made == (folder / "artifacts/x/separate/vocals.wav").read_bytes()


def test_a_part_that_needs_earlier_results_says_so(headroom):
    result = headroom("run", "--from", "slow", *TOY, "text=x", toy=True)
    assert result.code == 3
    assert "--resume" in result.err


def test_an_outputs_folder_that_cannot_be_made(headroom):
    Path("taken").write_text("a file", encoding="utf-8")
    result = headroom("run", *TOY, "text=x", "outputs_dir=taken", toy=True)
    assert result.code == 6
    assert "outputs_dir" in result.err


def test_what_cannot_be_kept_for_later_plans_fails_no_run(headroom, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HEADROOM_HOME", str(tmp_path / "file"))
    done = headroom(
        "run", "pipeline=toy", "tier=toy", "device=cpu", "tier.limit=4GiB", "text=x", "memory_plot=false", toy=True
    )
    assert done.code == 0, done.err
    assert "note: What this run showed is not kept for later plans: Measured footprints cannot be stored in" in done.out
    (record,) = (tmp_path / "outputs").rglob("run.json")
    assert json.loads(record.read_text(encoding="utf-8"))["status"] == "ok"


def test_a_full_disk_in_the_middle_loses_nothing_finished(headroom, monkeypatch):
    from pipelines.run import artifacts

    real = artifacts._write

    def full(folder, port, value):
        if folder.name == "slow":
            raise OSError(28, "No space left on device")
        return real(folder, port, value)

    monkeypatch.setattr(artifacts, "_write", full)
    result = headroom("run", *TOY, "text=x", toy=True)
    assert result.code == 6
    assert "No space left" in result.err
    made = record()
    assert made["status"] == "failed"
    assert (run_folder() / "artifacts/x/separate/done.json").exists()
    assert not (run_folder() / "artifacts/x/slow/done.json").exists()


def test_a_node_cannot_give_files_outside_its_folder(headroom):
    result = headroom("run", "pipeline=escapes", "tier=toy", "device=simulated", "text=x", toy=True)
    assert result.code == 3
    assert "outside its own folder" in result.err


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_interrupts_are_recorded(tmp_path, name, code):
    command = [sys.executable, "-m", "pipelines.cli.main", "run", "--trust", "tests", "-cd", str(APPS), *TOY, "text=x",
               f"+pipeline.nodes.slow.knobs.send={name}", "+pipeline.nodes.slow.knobs.seconds=20"]  # fmt: skip
    root = Path(__file__).parents[2]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False, env=_environment(root)
    )
    assert done.returncode == code, done.stderr
    made = record(tmp_path / "outputs")
    assert (made["status"], made["exit_code"]) == ("interrupted", code)
    folder = run_folder(tmp_path / "outputs")
    assert (folder / "artifacts/x/separate/done.json").exists()
    assert not (folder / "artifacts/x/slow").exists()


def _environment(root):
    import os

    return {**os.environ, "PYTHONPATH": str(root)}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("# @package hydra\nlauncher: {_target_: os.system}", "'os.system' may not be named"),
        ("# @package hydra\ncallbacks: {x: {_target_: subprocess.check_call, args: [touch, owned]}}", "may not be named"),
        ("# @package hydra\njob_logging: {version: 1, handlers: {x: {'()': os.system, command: 'touch owned'}}}",
         "may not be named"),
        ("# @package hydra\njob: {env_set: {PYTHONPATH: /tmp}}", "env_set is not honoured"),
        ("nodes: {x: !!python/object/apply:os.system ['touch owned']}", "python/object/apply"),
        ("# @package _global_\npipeline: {nodes: {separate: {_target_: os.system, role: null}}}", "'os.system' is not allowed"),
        ("# @package _global_\nseed: ${run:ls}", "Unsupported interpolation type run"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("plus", ["", "+"])
def test_a_config_cannot_execute_code(headroom, body, message, plus):
    Path("mine/experiment").mkdir(parents=True)
    Path("mine/experiment/evil.yaml").write_text(body + "\n", encoding="utf-8")
    Path("x.wav").touch()
    result = headroom("run", "-cd", "mine", "pipeline=stems", f"{plus}experiment=evil", "input=x.wav")
    assert result.code == 2, result.err
    assert message in result.err
    assert "Traceback" not in result.err
    assert {path.name for path in Path.cwd().rglob("*") if path.is_file()} == {"evil.yaml", "x.wav"}


@pytest.mark.parametrize("knob", ["../../../escaped", "/tmp/escaped", "a/b"])
def test_a_config_cannot_name_a_file_outside_the_run_folder(headroom, knob):
    soundfile = pytest.importorskip("soundfile")
    soundfile.write("x.wav", [0.1] * 8000, 8000)
    result = headroom("run", "pipeline=stems", "model/separate=center", "input=x.wav", "memory_plot=false",
                      f"pipeline.nodes.vocals.knobs.name={knob}")  # fmt: skip
    assert result.code in (0, 1, 2, 3), result.err
    assert "bug" not in result.err
    assert not [path for path in Path.cwd().rglob("*escaped*") if "vocals" not in path.parts]
    assert not Path("/tmp/escaped.wav").exists()


def test_hydra_s_own_flags(headroom):
    shown = headroom("run", *TOY, "--cfg", "job", "--package", "tier", toy=True)
    assert shown.code == 0
    assert "limit: 64 MiB" in shown.out
    assert "defaults" in headroom("run", *TOY, "--info", "defaults", toy=True).out.lower()
    assert not Path("outputs").exists()


@pytest.mark.slow
def test_a_sweep_runs_each_job_in_a_fresh_process_and_ends_with_one_table(headroom, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    result = headroom("run", "-m", *TOY, "text=x", "tier.limit=1MiB,30MiB,64MiB", toy=True)
    assert result.code == 4  # the highest of the jobs
    sweep = next(Path("outputs/sweeps/toy").iterdir())
    rows = (sweep / "sweep.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 4
    assert (sweep / "multirun.yaml").exists()
    pids = set()
    for job, variant in ((1, "small"), (2, "big")):
        made = json.loads((sweep / str(job) / "run.json").read_text(encoding="utf-8"))
        assert made["variants"]["separate"]["name"] == f"separate/{variant}"
        pids.add(made["pid"])
    assert len(pids) == 2
    assert "job 0: Task 'x/separate' alone needs" in result.out
    assert "tier.limit" in result.out


@pytest.mark.parametrize("verb", ["run", "plan", "check", "list", "sample"])
def test_help_pages_show_how(headroom, verb):
    with pytest.raises(SystemExit) as stop:
        headroom(verb, "--help")
    assert stop.value.code == 0


def test_names_with_spaces_commas_quotes_and_accents(headroom):
    result = headroom("run", *TOY, "text=L'été, c'est \"bien\" = {oui} [x] $1 \\", toy=True)
    assert result.code == 0, result.err
    assert record()["inputs"] == {}
    config = (run_folder() / "config_resolved.yaml").read_text(encoding="utf-8")
    import yaml

    assert yaml.safe_load(config)["text"] == "L'été, c'est \"bien\" = {oui} [x] $1 \\"


def test_aliases_of_aliases_do_not_hang(headroom):
    Path("mine/experiment").mkdir(parents=True)
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    lines += [f"{n}: &{n} [{','.join([f'*{m}'] * 9)}]" for m, n in zip("abcdefgh", "bcdefghi", strict=True)]
    Path("mine/experiment/bomb.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    result = headroom("run", "-cd", "mine", "pipeline=ultrasinger", "experiment=bomb", "input=x.wav")
    assert result.code == 2
    assert "bomb.yaml" in result.err
