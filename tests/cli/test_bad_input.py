"""Bad input through the real command line: the exit code, the sentence, nothing half-written and nothing lost."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import stat
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE = 22050
#: Real nodes that take sound and need no weights.
STEMS = ("pipeline=stems", "model/separate=center", "memory_plot=false")
SONG = ("pipeline=ultrasinger", "memory_plot=false", "tier.allow.separate=[center]", "tier.allow.transcribe=[pocketsphinx]",
        "tier.allow.pitch=[swift_f0]")  # fmt: skip


def tone(seconds=1.0, rate=RATE):
    times = np.arange(int(seconds * rate)) / rate
    return 0.2 * np.sin(2 * np.pi * 220 * times)


def write(name, samples, rate=RATE, **more):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(name, samples, rate, **more)
    return name


def record():
    (path,) = Path("outputs").rglob("run.json")
    return json.loads(path.read_text(encoding="utf-8"))


def artifacts():
    return sorted(
        path.name for path in Path("outputs").rglob("*") if path.is_file() and path.suffix in (".wav", ".txt")
    )


def empty(name):
    Path(name).touch()


def corrupt(name):
    Path(name).write_bytes(bytes(np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8)))


def words(name):
    Path(name).write_text("no sound at all\n" * 100, encoding="utf-8")


def zero_length(name):
    write(name, np.zeros((0, 2)))


def missing(name):
    assert not Path(name).exists()


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("song.wav", missing, "There is no file 'song.wav'"),
        ("song.wav", empty, "song.wav is empty"),
        ("song.wav", corrupt, "song.wav cannot be read as sound"),
        ("song.m4a", words, "song.m4a cannot be read as sound"),
        ("song.wav", zero_length, "song.wav holds no sound"),
        ("*.flac", missing, "No file matches '*.flac'"),
    ],
)
@pytest.mark.parametrize("verb", ["plan", "run", "explain", "fit"])
def test_what_holds_no_sound_is_refused_before_anything_runs(headroom, verb, name, make, message):
    make(name)
    before = Path(name).read_bytes() if Path(name).exists() else None
    result = headroom(verb, *STEMS, f"input={name}")
    assert result.code == 1
    assert result.err.splitlines()[-1].startswith("error: ")
    assert message in result.err
    assert "Traceback" not in result.err
    assert "bug" not in result.err
    assert artifacts() == []
    assert (Path(name).read_bytes() if Path(name).exists() else None) == before
    if verb == "run":
        made = record()
        assert (made["status"], made["exit_code"], message in made["error"]) == ("failed", 1, True)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_found_and_placed(headroom, value):
    samples = tone()
    samples[RATE // 2] = value
    result = headroom("run", *STEMS, f"input={write('song.wav', samples, subtype='FLOAT')}")
    assert result.code == 1
    assert "song.wav has samples that are not numbers (the first at 0.50 s)" in result.err
    made = record()
    assert (made["status"], list(made["failed"])) == ("failed", ["song/separate"])
    assert artifacts() == []


def test_a_file_that_breaks_off_is_named(headroom):
    write("whole.flac", np.random.default_rng(0).uniform(-0.5, 0.5, 4 * RATE))
    whole = Path("whole.flac").read_bytes()
    Path("song.flac").write_bytes(whole[: len(whole) // 2])
    result = headroom("run", *STEMS, "input=song.flac")
    assert result.code == 1
    assert "song.flac breaks off at" in result.err
    assert artifacts() == []


@pytest.mark.parametrize(
    ("samples", "rate"),
    [(tone(), RATE), (np.stack([tone(rate=8000)] * 2, 1), 8000), (np.zeros((RATE, 2)), RATE), (tone()[:50], RATE)],
    ids=["mono", "8 kHz", "silent", "two milliseconds"],
)
def test_unusual_sound_is_separated_all_the_same(headroom, samples, rate):
    result = headroom("run", *STEMS, f"input={write('song.wav', samples, rate)}")
    assert result.code == 0, result.err
    for stem in ("vocals", "instrumental"):
        (path,) = Path("outputs").rglob(f"artifacts/song/{stem}/*.wav")
        made, made_rate = soundfile.read(path)
        assert np.isfinite(made).all()
        assert abs(len(made) / made_rate - len(samples) / rate) < 0.01


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # audioread, under librosa
@pytest.mark.filterwarnings("ignore:pkg_resources is deprecated")
@pytest.mark.parametrize("samples", [np.zeros((2 * RATE, 2)), tone()[:50]], ids=["silent", "two milliseconds"])
def test_a_song_without_singing_says_so_and_writes_no_song(headroom, samples):
    result = headroom("run", *SONG, f"input={write('song.wav', samples)}")
    assert result.code == 1
    assert result.err.splitlines()[-1].startswith("error: No sung note was found in song")
    made = record()
    assert (made["status"], list(made["failed"])) == ("failed", ["song/ultrastar"])
    assert not list(Path("outputs").rglob("song.txt"))


@pytest.mark.slow
def test_twenty_minutes_are_planned_under_the_limit_and_cost_more_than_one(headroom):
    peaks = {}
    for minutes in (1, 20):
        write(f"{minutes}.wav", np.zeros(minutes * 60 * 8000, dtype=np.int16), 8000)
        result = headroom("plan", "--format", "json", *SONG, f"input={minutes}.wav", "tier.limit=6GiB")
        assert result.code == 0, result.err
        plan = json.loads(result.out)
        peaks[minutes] = plan["peak_bytes"]
        assert plan["peak_bytes"] <= plan["limit_bytes"] == 6 * 1024**3
    assert peaks[20] > peaks[1]
    tight = headroom("plan", *SONG, "input=20.wav", f"tier.limit={peaks[1]}")
    assert tight.code == 4
    assert "MiB short" in tight.err


@pytest.mark.parametrize("name", ["Ça va, été n° 1.wav", "it's [live] {x} = 1 #2.wav", "日本語 the song.wav"])
def test_names_with_spaces_accents_and_signs(headroom, name):
    result = headroom("run", *STEMS, f"input={write(name, tone(0.3))}", "outputs_dir=all mine, été")
    assert result.code == 0, result.err
    (folder,) = Path("all mine, été").rglob("artifacts")
    assert [item.name for item in folder.iterdir()] == [Path(name).stem]
    assert len(list(folder.rglob("vocals/*.wav"))) == 1


def test_two_inputs_of_one_stem_are_two_items(headroom):
    first, second = write("a/song.wav", tone()), write("b/song.wav", tone(0.5))
    write("b/SONG.flac", tone(0.25))
    result = headroom("run", *STEMS, f"input=[{first},{second},b/SONG.flac]")
    assert result.code == 0, result.err
    (folder,) = Path("outputs").rglob("artifacts")
    lengths = {item.name: soundfile.info(next(item.glob("vocals/*.wav"))).duration for item in folder.iterdir()}
    assert lengths == pytest.approx({"song": 1.0, "song-2": 0.5, "SONG-3": 0.25}, abs=0.01)


def test_one_bad_item_does_not_end_the_others(headroom):
    bad = tone()
    bad[100] = np.nan
    write("songs/a.wav", bad, subtype="FLOAT")
    write("songs/b.wav", tone())
    result = headroom("run", "-k", *STEMS, "input=songs")
    assert result.code == 1
    made = record()
    assert list(made["failed"]) == ["a/separate"]
    assert made["skipped"] == {"a/vocals": "a/separate", "a/instrumental": "a/separate"}
    assert len(list(Path("outputs").rglob("artifacts/b/vocals/*.wav"))) == 1
    assert result.out.strip().splitlines()[-1].startswith("failed: a/separate: songs/a.wav has samples")


def test_input_that_cannot_be_read_does_not_end_the_others_either(headroom):
    write("songs/b.wav", tone())
    corrupt("songs/a.wav")
    empty("songs/c.flac")
    result = headroom("run", "-k", *STEMS, "input=songs")
    assert result.code == 1
    made = record()
    assert (made["status"], made["exit_code"], list(made["failed"])) == ("failed", 1, ["a", "c"])
    assert list(made["inputs"]) == ["b"]
    assert len(list(Path("outputs").rglob("artifacts/b/vocals/*.wav"))) == 1
    for name in ("a", "c"):
        assert [line for line in result.out.splitlines() if line.startswith(f"failed: {name}: songs/{name}.")] != []
    assert headroom("run", *STEMS, "input=songs", "outputs_dir=other").code == 1
    assert list(Path("other").rglob("artifacts")) == []


def test_where_nothing_can_be_read_keeping_going_tells_of_each(headroom):
    Path("songs").mkdir()
    corrupt("songs/a.wav")
    empty("songs/b.wav")
    result = headroom("run", "-k", *STEMS, "input=songs")
    assert result.code == 1
    assert "songs/a.wav" in result.err
    assert "songs/b.wav is empty" in result.err
    assert record()["status"] == "failed"


def test_a_file_that_breaks_off_is_used_as_far_as_it_goes_and_that_is_said_once(headroom):
    whole = Path(write("song.wav", tone(2.0))).read_bytes()
    Path("song.wav").write_bytes(whole[: len(whole) // 2])
    result = headroom("run", *STEMS, "input=song.wav")
    assert result.code == 0, result.err
    message = "song.wav breaks off: its header promises 2.0 s, and the 1.0 s that are there are used."
    assert result.out.count(message) == 1
    (events,) = Path("outputs").rglob("events.jsonl")
    lines = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    assert [line["text"] for line in lines if line["event"] == "warning" and "breaks off" in line["text"]] == [message]
    (vocals,) = Path("outputs").rglob("vocals/*.wav")
    assert soundfile.info(vocals).duration == pytest.approx(1.0, abs=0.01)


def test_a_limit_too_small_names_the_task_the_shortfall_and_what_would_fit(headroom):
    result = headroom("run", *STEMS, f"input={write('song.wav', tone())}", "tier.limit=20MiB")
    assert result.code == 4
    assert "song/separate" in result.err
    assert "MiB short" in result.err
    assert "Raise the limit to" in result.err
    assert artifacts() == []
    assert record()["refusal"]["limit_bytes"] == 20 * 1024**2


@pytest.fixture
def unprivileged():
    """A shell prefix under which permissions hold: root passes them all."""
    if os.geteuid() != 0:
        return []
    tool = shutil.which("setpriv")
    if tool is None:
        pytest.skip("permissions do not bind root, and setpriv is not here")
    return [tool, "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]


def test_a_read_only_outputs_folder_is_the_surroundings(tmp_path, unprivileged, command):
    write(str(tmp_path / "song.wav"), tone())
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    outputs.chmod(stat.S_IRUSR | stat.S_IXUSR)
    done = subprocess.run([*unprivileged, *command, "run", *STEMS, "input=song.wav"], cwd=tmp_path, capture_output=True,
                          text=True, timeout=300, check=False)  # fmt: skip
    assert done.returncode == 6, done.stderr
    assert "outputs_dir=" in done.stderr
    assert "Permission denied" in done.stderr
    assert list(outputs.iterdir()) == []


@pytest.mark.slow
def test_a_full_outputs_folder_is_the_surroundings_and_leaves_nothing_half_written(tmp_path, command):
    """A limit on the size of files stands in for a full disk: the records fit under it, four seconds of sound do not."""
    write(str(tmp_path / "song.wav"), tone(4.0))
    script = 'ulimit -f 300; exec "$0" "$@"'
    done = subprocess.run(["bash", "-c", script, *command, "run", *STEMS, "input=song.wav"], cwd=tmp_path, capture_output=True,
                          text=True, timeout=300, check=False)  # fmt: skip
    assert done.returncode == 6, done.stderr
    assert "Is the disk full?" in done.stderr.splitlines()[-1]
    (path,) = (tmp_path / "outputs").rglob("run.json")
    assert json.loads(path.read_text(encoding="utf-8"))["status"] == "failed"
    assert not list((tmp_path / "outputs").rglob("*.wav"))
    again = subprocess.run([*command, "run", "--resume", str(path.parent)], cwd=tmp_path, capture_output=True, text=True,
                           timeout=300, check=False)  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert len(list((tmp_path / "outputs").rglob("artifacts/song/vocals/*.wav"))) == 1


def test_a_long_text_in_quotes_is_no_file_name(headroom):
    result = headroom("plan", "pipeline=dub", f"text='{'word ' * 300}'")
    assert result.code == 0, result.err


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_no_error(tmp_path, command, closed):
    write(str(tmp_path / "song.mp3"), tone())
    line = f"{shlex.join([*command, 'run', *STEMS, 'input=song.mp3'])} {closed}"
    done = subprocess.run(["sh", "-c", line], check=False, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(next(tmp_path.rglob("run.json")).read_text())["status"] == "ok"
