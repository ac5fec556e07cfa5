"""What is printed reads well: help pages at 80 columns, names never folded, files and pipes without colours or folds."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.cli.main import VERBS
from pipelines.cli.screen.live import Live
from pipelines.cli.screen.show import _Console
from pipelines.schema.record import Event
from pipelines.schema.roles import ROLES
from pipelines.schema.units import GIB, MIB


def page(capfd, monkeypatch, *arguments):
    from pipelines.cli.main import main

    monkeypatch.setenv("COLUMNS", "80")
    try:
        code = main(list(arguments))
    except SystemExit as stop:
        code = stop.code
    assert code == 0
    return capfd.readouterr().out


@pytest.mark.parametrize("arguments", [("--help",), *((verb, "--help") for verb in VERBS)], ids=lambda a: a[0])
def test_help_fits_80_columns(capfd, monkeypatch, arguments):
    text = page(capfd, monkeypatch, *arguments)
    assert max(map(len, text.splitlines())) <= 80
    assert f"headroom {arguments[0]}" in text or arguments[0] == "--help"


@pytest.mark.parametrize("verb", VERBS)
def test_help_is_also_a_verb(capfd, monkeypatch, verb):
    assert page(capfd, monkeypatch, "help", verb) == page(capfd, monkeypatch, verb, "--help")


def test_the_list_says_which_variants_the_tier_leaves_out(headroom):
    on = ("list", "variants", "device=simulated", "device.total=80GiB", "tier=high_end")
    assert "not in tier" in line_of(headroom(*on, "tier.allow.pitch=[swift_f0]").out, "pitch/crepe_full")
    assert "not in tier" not in line_of(headroom(*on, "tier.allow.pitch=[swift_f0]").out, "pitch/swift_f0")
    assert "not in tier" not in line_of(headroom(*on).out, "pitch/crepe_full")


def line_of(text, name):
    return next(line for line in text.splitlines() if line.startswith(name))


@pytest.mark.parametrize("columns", [80, 100, 120, None])
def test_no_name_is_ever_folded(headroom, monkeypatch, columns):
    if columns is None:
        monkeypatch.delenv("COLUMNS")
    else:
        monkeypatch.setenv("COLUMNS", str(columns))
    text = headroom("list").out
    for name in ("transcribe/distil_large_v3_int8", "GPL-3.0-or-later", "ultrasinger", "upper_mid"):
        assert re.search(rf"\b{re.escape(name)}\b", text)
    assert {line.partition("/")[0] for line in text.splitlines() if re.match(r"\w+/\w", line)} == set(ROLES)
    if columns is not None:
        assert max(len(line.rstrip()) for line in text.splitlines()) <= columns
    assert "\x1b" not in text


def test_list_says_what_is_too_large_for_a_tier(headroom):
    def states(*settings):
        lines = headroom("list", "variants", *settings).out.splitlines()
        return {line.split()[0]: line for line in lines if re.match(r"\w+/\w", line)}

    small = states("device=simulated", "tier=low_end")
    assert "too large" in small["transcribe/large_v3"]
    assert "too large" not in small["pitch/crepe_tiny"]
    assert not [
        line
        for line in states("device=simulated", "device.total=24GiB", "tier=high_end").values()
        if "too large" in line
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("list", "nodez"), "Did you mean 'nodes'"),
        (("list", "-cd", "nowhere"), "nowhere (-cd) does not exist"),
        (("list", "tier=modst"), "Did you mean 'modest'"),
        (("weights", "-cd", "nowhere", "list"), "nowhere (-cd) does not exist"),
        (("measure", "-cd", "a/b", "pitch/swift_f0"), "a/b (-cd) does not exist"),
        (("weights",), "action"),
        (("weights", "lst"), "'lst'"),
        (("weights", "fetch", "tiny"), "Did you mean 'transcribe/tiny'? Known:"),
        (("weights", "list", "pitch/swift"), "Did you mean 'pitch/swift_f0'"),
        (("measure",), "--all"),
        (("measure", "pitch/crepe_ful"), "Did you mean 'pitch/crepe_full'"),
        (("measure", "pitch/swift_f0", "--sizes", "a"), "2,5,10"),
        (("explain", "--plan", "p.json"), "--problem"),
        (("explain", "--problem", "p.json"), "There is no file p.json"),
        (("plan", "--problem", "p.json", "x=1"), "'x=1'"),
        (("fit",), "Say which pipeline"),
        (("fit", "-m", "pipeline=stems"), "headroom run"),
        (("detect", "device=simulated", "device.name=RTX 30"), "RTX 3050"),
        (("detect", "banana"), "settings are KEY=VALUE. See `headroom --help`"),
        (("run", "ultrasinger", "song.ogg"), "Did you mean pipeline=ultrasinger?"),
        (("run", "pipeline", "stems"), "Did you mean pipeline=VALUE?"),
        (("run", "pipline=stems", "input=a.wav"), "There is no setting 'pipline'. Did you mean 'pipeline'?"),
        (("run", "pipeline=stems", "tier.limit=4", "GB"), "quotes around both: 'tier.limit=4 GB'"),
        (("run", "pipeline=stems", "tier.limit=3,5GiB"), "a number has a point, 3.5"),
        (("run", "pipeline=stems", "tier={"), "Check its quotes and brackets"),
        (("run", "--tier", "modest"), "tier is a setting and has no dashes, tier=VALUE"),
        (("run", "--keep-goin"), "Did you mean '--keep-going'?"),
        (("run", "-cd"), "Argument --config-dir/-cd: expected one argument."),
        (("run", "--cfg", "all jobs"), "Argument --cfg/-c: invalid choice: 'all jobs'"),
        (("plan", "pipeline=stems", "model.separate=center"), "A variant has a slash: model/separate=center."),
        (("plan", "pipeline=stems", "model.separate.knobs.segment=4"), "pin one, as in model/separate=htdemucs."),
        (("plan", "pipeline=stems", "model/separate=center", "model.separate.knobs.lo=4"), "Did you mean 'low'?"),
        (("plan", "pipeline=stems", "tier.allow.pich=[a]"), "Did you mean 'pitch'? Known: convert, pitch, separate"),
        (
            ("plan", "pipeline=stems", "device.pitch=cpuu"),
            "device.pitch is 'cpuu'; it must be a kind of device, or one by its number (cpu, cuda:1). Did you mean 'cpu'",
        ),
        (("song.ogg",), "There is no verb 'song.ogg'"),
        (("run", "."), "Did you mean input=."),
        (("run", "pipeline=stems", "a/song.wav"), "settings are KEY=VALUE"),
        (("check", "."), "There is no file plan.json"),
        (("sample", "--tempo", "0"), "40 to 240"),
        (("sample", "--voice", "f9"), "Known: f1"),
        (("sample", "--melody", "grase"), "Did you mean 'grace'"),
        (("sample", "--count", "0"), "--count"),
        (("sample", "--seconds", "nan"), "--seconds"),
        (("sample", "more"), "'more'"),
        (("--verison",), "Did you mean '--version'"),
        (("pipeline=stems",), "headroom run pipeline=stems"),
        (("run", "--keepgoing", "pipeline=stems"), "--keepgoing"),
    ],
    ids=" ".join,
)
def test_every_mistake_is_a_sentence_with_the_next_step(headroom, tmp_path, arguments, message):
    result = headroom(*arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: ")
    assert message in result.err
    assert "Traceback" not in result.err
    assert "bug" not in result.err
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


STEP = {"index": 1, "op": "run", "tasks": ["Some Band - A Song With a Very Long Name (Remastered 2011)/transcribe"],
        "measured_peak_bytes": 12345 * MIB, "predicted_peak_bytes": 13000 * MIB, "seconds": 1234.5}  # fmt: skip


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_lines_of_a_run_fit_the_terminal_and_keep_the_node(width):
    out = _Console(file=io.StringIO(), force_terminal=True, color_system=None, width=width, highlight=False)
    Live(out, 12, 24 * GIB)(Event("step_finished", 1.0, STEP))
    (line,) = out.file.getvalue().splitlines()
    assert len(line) <= width
    assert "transcribe " in line
    assert "12,345 of 24,576 MiB" in line
    assert line.endswith("1234.5 s")


def test_lines_of_a_run_in_a_file_keep_the_whole_name_and_what_was_planned():
    out = _Console(file=io.StringIO(), width=500, highlight=False)
    Live(out, 12, 24 * GIB)(Event("step_finished", 1.0, STEP))
    line = out.file.getvalue()
    assert STEP["tasks"][0] in line
    assert "planned 13,000" in line


def test_a_step_shows_its_bytes_and_its_own_clock_while_it_runs():
    out = _Console(file=io.StringIO(), force_terminal=True, color_system=None, width=80, highlight=False)
    with Live(out, 12, 24 * GIB) as live:
        for step, fraction in ((0, 1.0), (1, 0.5)):
            live(Event("step_started", 0.0, {**STEP, "index": step, "tasks": [f"song/{step}"]}))
            live(Event("sample", 0.0, {"used_bytes": 512 * MIB}))
            live(Event("progress", 0.0, {"fraction": fraction, "note": "[half]"}))
        task = live._progress.tasks[0]
        assert task.description == "run song/1"
        assert task.fields["bytes"] == "512 of 24,576 MiB"
        assert task.percentage == 50
        assert not task.finished  # a clock that stopped at the end of the first step would stand still here
    assert "[half]" in out.file.getvalue()


def test_a_load_beside_a_run_leaves_the_runs_progress_alone():
    out = _Console(file=io.StringIO(), force_terminal=True, color_system=None, width=80, highlight=False)
    with Live(out, 12, GIB) as live:
        live(Event("step_started", 0.0, {**STEP, "tasks": ["song/separate"]}))
        live(Event("progress", 0.0, {"fraction": 0.5, "note": "following"}))
        live(Event("step_started", 0.0, {"index": 2, "op": "load", "model": "pitch/x", "during": "song/separate"}))
        (task,) = live._progress.tasks
        assert (task.description, task.percentage, task.fields["note"]) == ("run song/separate", 50, "following")


@pytest.mark.parametrize("limit", [GIB, 24 * GIB])
def test_the_bytes_of_steps_stand_under_each_other_in_eighty_columns(limit):
    out = _Console(file=io.StringIO(), width=80, highlight=False)
    live = Live(out, 12, limit)
    for name in ("song/pitch", "song/transcribe", "transcribe/large_v3_turbo_int8"):
        live(Event("step_finished", 1.0, {**STEP, "tasks": [name], "measured_peak_bytes": 900 * MIB}))
    lines = out.file.getvalue().splitlines()
    assert len({line.index(" of ") for line in lines}) == 1
    assert max(map(len, lines)) <= 80


def test_a_plan_says_what_a_tier_leaves_of_a_card_and_where_no_variant_uses_it(headroom):
    result = headroom("plan", "pipeline=dub", "text=a", "device=simulated", "device.total=4GiB")
    assert "tier modest (at most 3,072 MiB)" in result.out
    assert "simulated card of 4,096 MiB" in result.out
    assert result.out.splitlines()[-1].startswith("Nothing of it uses the card")
    result = headroom("plan", "pipeline=dub", "text=a", "device=cpu", "tier.limit=null")
    assert "at most" not in result.out
    assert "uses the card" not in result.out


def test_names_with_brackets_and_colons_are_shown_as_they_are(headroom):
    Path("t.jsonl").write_text(json.dumps({"text": "hi", "name": "it [b] [red]x"}) + "\n", encoding="utf-8")
    result = headroom(
        "run", "pipeline=toy", "tier=toy", "device=simulated", "input=t.jsonl", "memory_plot=false", toy=True
    )
    assert result.code == 0, result.err
    assert result.out.count("it [b] [red]x/separate") == 2


def test_a_limit_without_its_unit_is_told_to_be_in_bytes(headroom):
    result = headroom("plan", "pipeline=dub", "text=a", "tier.limit=4")
    assert result.code == 4
    assert "4GiB or 4MiB: without one it is in bytes" in result.err
    assert "without one" not in headroom("plan", "pipeline=dub", "text=a", "tier.limit=4MiB").err


def test_fit_shows_no_row_twice(headroom):
    soundfile.write("a.wav", np.full(8000 * 30, 0.1), 8000)
    requested = ("fit", "pipeline=ultrasinger", "input=a.wav", "tier=cpu")
    rows = [line.split(maxsplit=1)[1] for line in headroom(*requested).out.partition("\n\n")[0].splitlines()[1:]]
    assert len(set(rows)) == len(rows)
    assert len(json.loads(headroom(*requested, "--format", "json").out)["frontier"]) > len(rows)


def test_ctrl_c_in_a_library_that_then_fails_is_an_interrupt(headroom, monkeypatch):
    def interrupted(*args, **more):
        try:
            raise KeyboardInterrupt
        finally:
            raise AttributeError("save_nargs")

    monkeypatch.setattr("pipelines.cli.main._parser", interrupted)
    result = headroom("list")
    assert (result.code, result.err) == (130, "error: Interrupted.\n")
