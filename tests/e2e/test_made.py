"""The pipelines the project is named for, by the real command in a fresh home, on made weights: artifacts, record and digests.

The made separator gives the middle of the mix and the made Whisper recites a line, so what is heard and written can be known.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.paths import user_folders
from pipelines.weights.environments import built_python
from tests.checkpoints.every import SAYS
from tests.nodes.test_contract import settings
from tests.ultrastar_reader import read

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
#: Where the user's own environments are, asked before the tests' fixtures look elsewhere.
ENVIRONMENTS = user_folders().environments
RATE = 44100


def sung(*hertz, seconds=0.7):
    """A vowel on one pitch after the other, stereo [frames, 2]."""
    frames = int(seconds * RATE)
    phase = 2 * np.pi * np.cumsum(np.repeat(hertz, frames)) / RATE
    fade = np.tile(np.minimum(1, np.minimum(np.arange(frames), np.arange(frames)[::-1]) / (0.03 * RATE)), len(hertz))
    tone = sum(np.sin(k * phase) / k for k in range(1, 9)) * 0.12 * fade
    return np.stack([tone, tone], axis=1)


@pytest.fixture
def cli(tmp_path):
    """The command in a process of its own, in an empty folder with `song.wav` (A3, C4) and `voice.wav`: words -> what it left."""
    soundfile.write(tmp_path / "song.wav", sung(220.0, 261.63), RATE)
    soundfile.write(tmp_path / "voice.wav", sung(200.0, seconds=3.0), RATE)
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "OMP_NUM_THREADS") if name in os.environ}

    def call(verb, *words, code=0, **environment):
        env = {**kept, "HOME": str(home), "NO_COLOR": "1", "COLUMNS": "120", **environment}
        command = [sys.executable, "-m", "pipelines.cli.main", verb, *words]
        done = subprocess.run(
            command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT), **env}, capture_output=True, text=True, timeout=900, check=False
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        return done

    return call


def finished(folder, count=1):
    """The newest run's folder and record: finished, within its limit, every artifact under its digest."""
    found = sorted(folder.glob("outputs/*/*/*/run.json"), key=lambda path: path.stat().st_mtime_ns)
    assert len(found) == count
    run = found[-1].parent
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert (record["status"], record["exit_code"], record["failed"], record["skipped"]) == ("ok", 0, {}, {})
    assert 0 < record["measured_peak_bytes"] <= record["limit_bytes"]
    assert record["predicted_peak_bytes"] <= record["limit_bytes"]
    for name, digest in record["artifacts"].items():
        assert hashlib.sha256((run / "artifacts" / name).read_bytes()).hexdigest() == digest
    return run, record


def names_of(record):
    return {node: variant["name"] for node, variant in record["variants"].items()}


def words_in(path):
    return " ".join(word["text"].strip() for word in json.loads(path.read_text(encoding="utf-8"))["words"])


def test_ultrasinger(cli, made_weights, tmp_path):
    cli("run", "pipeline=ultrasinger", "input=song.wav", "model/separate=htdemucs_ft",
        "model/transcribe=large_v3_turbo", "model/pitch=crepe_full", f"weights_dir={made_weights}")  # fmt: skip
    run, record = finished(tmp_path)
    assert names_of(record) == {
        "separate": "separate/htdemucs_ft", "transcribe": "transcribe/large_v3_turbo", "pitch": "pitch/crepe_full",
    }  # fmt: skip
    digests = {node: variant["weights_sha256"] for node, variant in record["variants"].items()}
    assert len(digests["separate"]) == len(digests["transcribe"]) == 64
    assert digests["pitch"] is None  # it ships with its library
    loads = [step["model"] for step in record["steps"] if step["op"] == "load"]
    assert sorted(loads) == sorted(names_of(record).values())
    assert loads == [step["model"] for step in record["steps"] if step["op"] == "unload"] or len(set(loads)) == 3

    vocals, rate = soundfile.read(run / "artifacts/song/separate/vocals.wav")
    song, _ = soundfile.read(tmp_path / "song.wav")
    assert rate == RATE
    assert np.abs(vocals.reshape(len(song), -1)[:, 0] - song[:, 0]).max() < 1e-3
    assert words_in(run / "artifacts/song/transcribe/words.json") == SAYS
    written = read(run / "artifacts/song/ultrastar/song.txt")
    assert [note.pitch for note in written.notes] == [-3, 0]  # A3 and C4, counted from middle C
    assert "".join(note.text for note in written.notes).split() == SAYS.split()
    assert written.timed[1][0] == pytest.approx(0.7, abs=0.06)
    assert (run / "artifacts/song/ultrastar/song.wav").read_bytes() == (tmp_path / "song.wav").read_bytes()
    assert (run / "memory.png").stat().st_size > 1000
    cli("check", str(run / "plan.json"))


def test_dub(cli, made_weights, tmp_path):
    command = ("pipeline=dub", "text=Hello.", "voice=voice.wav", "model/speak=xtts", "model/convert=rvc",
               f"weights_dir={made_weights}", "memory_plot=false")  # fmt: skip
    refused = cli("run", *command, code=2)
    assert "accept_licence=[xtts]" in refused.stderr
    cli("run", *command, "accept_licence=[xtts]")
    run, record = finished(tmp_path)
    assert names_of(record) == {"speak": "speak/xtts", "convert": "convert/rvc"}
    assert all(len(variant["weights_sha256"]) == 64 for variant in record["variants"].values())
    spoken, rate = soundfile.read(run / "artifacts/Hello/speak/audio.wav")
    made, made_rate = soundfile.read(run / "artifacts/Hello/wav/Hello.wav")
    assert (rate, made_rate) == (24000, 40000)
    assert len(made) == pytest.approx(len(spoken) / rate * made_rate, abs=made_rate / 50)
    assert min(np.abs(spoken).max(), np.abs(made).max()) > 1e-3
    assert words_in(run / "artifacts/Hello/speak/words.json") == "Hello."


def test_dub_in_an_environment_of_its_own(cli, made_weights, tmp_path):
    if built_python(settings("speak/f5")["environment"], ENVIRONMENTS) is None:
        pytest.skip("the environment of speak/f5 is not built: headroom weights fetch speak/f5 builds it")
    cli("run", "pipeline=dub", "text=Hello.", "voice=voice.wav", "voice_text=Some call me nature.", "model/speak=f5",
        "model.speak.knobs.steps=2", "model/convert=world", f"weights_dir={made_weights}", "accept_licence=[f5]",
        "memory_plot=false", HEADROOM_CACHE=str(ENVIRONMENTS.parent))  # fmt: skip
    run, record = finished(tmp_path)
    assert names_of(record) == {"speak": "speak/f5", "convert": "convert/world"}
    spoken, rate = soundfile.read(run / "artifacts/Hello/speak/audio.wav")
    assert rate == 24000
    assert len(spoken) > 0.1 * rate
    assert np.abs(spoken).max() > 1e-3


def test_dub_audio(cli, made_weights, tmp_path):
    (tmp_path / "de.json").write_text(json.dumps({SAYS: "Hallo du da."}), encoding="utf-8")
    cli("run", "pipeline=dub_audio", "input=song.wav", "voice=voice.wav", "translations=de.json", "dub_language=de",
        "model/separate=htdemucs", "model/transcribe=tiny_int8", "model/speak=espeak", "model/convert=freevc",
        f"weights_dir={made_weights}", "memory_plot=false")  # fmt: skip
    run, record = finished(tmp_path)
    assert set(names_of(record).values()) == {
        "separate/htdemucs", "transcribe/tiny_int8", "speak/espeak", "convert/freevc",
    }  # fmt: skip
    assert words_in(run / "artifacts/song/lines/lines.json") == "Hallo du da."
    song, _ = soundfile.read(tmp_path / "song.wav")
    made, rate = soundfile.read(run / "artifacts/song/wav/song.wav")
    assert rate == RATE
    assert abs(len(made) - len(song)) <= rate // 2
    assert np.abs(made).max() > 1e-3


@pytest.mark.parametrize("transcriber", ["small", "pocketsphinx"])
def test_karaoke(cli, made_weights, tmp_path, transcriber):
    cli("run", "pipeline=karaoke", "input=song.wav", "model/separate=center", f"model/transcribe={transcriber}",
        f"weights_dir={made_weights}", "memory_plot=false")  # fmt: skip
    run, record = finished(tmp_path)
    assert names_of(record)["transcribe"] == f"transcribe/{transcriber}"
    vocals, _ = soundfile.read(run / "artifacts/song/separate/vocals.wav")
    rest, _ = soundfile.read(run / "artifacts/song/wav/song.wav")
    song, _ = soundfile.read(tmp_path / "song.wav")
    assert np.abs(vocals[:, None] + rest - song).max() < 1e-3
    if transcriber == "small":
        assert words_in(run / "artifacts/song/transcribe/words.json") == SAYS


def test_stems_twice_have_the_same_digests(cli, made_weights, tmp_path):
    records = []
    for count in (1, 2):
        cli("run", "pipeline=stems", "input=song.wav", "model/separate=htdemucs", f"weights_dir={made_weights}",
            "memory_plot=false")  # fmt: skip
        run, record = finished(tmp_path, count)
        records.append(record)
    assert records[0]["artifacts"] == records[1]["artifacts"]
    parts = [soundfile.read(run / f"artifacts/song/{name}/{name}.wav")[0] for name in ("vocals", "instrumental")]
    song, _ = soundfile.read(tmp_path / "song.wav")
    assert np.abs(sum(parts) - song).max() < 1e-3
    assert np.abs(parts[1]).max() < 1e-3  # all of it is in the middle
