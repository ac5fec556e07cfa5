"""Resuming a run: what is kept, what is done again, and what is said where nothing can be."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile


def run_folder():
    (folder,) = [path.parent for path in Path("outputs").rglob("run.json")]
    return folder


STEMS = ("pipeline=stems", "model/separate=center", "memory_plot=false")


@pytest.fixture
def stems(headroom):
    """A finished run on `song.wav`: its folder, and a call that resumes it and says which tasks were done again."""
    tone = 0.2 * np.sin(np.arange(8000) / 6)
    soundfile.write("song.wav", np.stack([tone, tone], 1), 8000)
    assert headroom("run", *STEMS, "input=song.wav").code == 0
    folder = run_folder()

    def again(*more):
        result = headroom("run", "--resume", str(folder), *more)
        assert result.code == 0, result.err
        return re.findall(r"\d\] run +song/(\w+)", result.out), result.out

    return folder, again


def test_resuming_a_finished_run_names_its_results_and_leaves_its_record(stems):
    folder, again = stems
    before = {path: path.read_bytes() for path in folder.glob("*.json")}
    done, message = again()
    assert done == []
    assert "3 of 3 tasks are finished already: nothing is left to do." in message
    assert str(folder / "artifacts" / "song" / "vocals" / "vocals.wav") in message
    assert {path: path.read_bytes() for path in folder.glob("*.json")} == before
    assert again("--force")[0]


def test_what_comes_after_a_changed_task_or_input_is_done_again(stems):
    folder, again = stems
    vocals = folder / "artifacts" / "song" / "vocals" / "vocals.wav"
    made = vocals.read_bytes()
    assert set(again("model.separate.knobs.low=300")[0]) == {"separate", "vocals", "instrumental"}
    changed = vocals.read_bytes()
    assert changed != made
    tone = 0.1 * np.sin(np.arange(8000) / 3)
    soundfile.write("song.wav", np.stack([tone, tone], 1), 8000)  # the same name, other sound
    assert set(again()[0]) == {"separate", "vocals", "instrumental"}
    assert vocals.read_bytes() != changed


def test_a_part_done_again_by_itself_is_noticed_by_what_comes_after_it(stems):
    _, again = stems
    assert again("--only", "separate", "model.separate.knobs.low=300")[0] == ["separate"]
    assert set(again()[0]) == {"vocals", "instrumental"}


def test_a_setting_concerns_only_what_looked_at_it_and_its_file_counts_by_content(headroom, stems):
    """Translations are written after the first run has shown what is said: nothing before them is done again."""
    Path("lines.json").write_text("{}")
    _, again = stems
    assert again("translations=lines.json", "artist=Newton")[0] == []
    requested = ("pipeline=dub", "text=Hello there", "stream.use=false", "memory_plot=false")
    assert headroom("run", *requested, "outputs_dir=dubs").code == 0
    (folder,) = [path.parent for path in Path("dubs").rglob("run.json")]

    def spoken(*more):
        result = headroom("run", "--resume", str(folder), *more)
        assert result.code == 0, result.err
        return re.findall(r"\d\] run +Hello-there/(\w+)", result.out)

    assert spoken("artist=Newton") == []
    assert spoken("language=de") == ["speak", "convert", "wav"]
    soundfile.write("voice.wav", 0.2 * np.sin(np.arange(32000) / 20), 16000)
    assert spoken("voice=voice.wav") == ["speak", "convert", "wav"]  # both take it, by their ports
    assert spoken() == []
    soundfile.write("voice.wav", 0.2 * np.sin(np.arange(32000) / 30), 16000)
    assert spoken() == ["speak", "convert", "wav"]


def test_a_run_resumed_from_another_folder_says_where_it_was_begun(headroom, stems, monkeypatch, tmp_path):
    folder, _ = stems
    begun, record = Path.cwd(), (folder / "run.json").read_bytes()
    (tmp_path / "elsewhere").mkdir()
    folder = folder.resolve()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for _ in range(2):
        result = headroom("run", "--resume", str(folder))
        assert result.code == 1
        assert f"That run was begun in {begun}, and names of files are meant from there." in result.err
    assert (folder / "run.json").read_bytes() == record


def test_a_failed_run_says_how_to_go_on_where_something_is_kept(headroom):
    Path("t.jsonl").write_text('{"text": "good one"}\n{"text": "bad one"}\n', encoding="utf-8")
    result = headroom("run", "pipeline=failing", "tier=toy", "device=simulated", "input=t.jsonl", toy=True)
    assert result.code == 1
    kept = list(run_folder().glob("artifacts/*/*/done.json"))
    assert ("What is finished is kept: headroom run --resume " in result.out) == bool(kept)
    assert kept
