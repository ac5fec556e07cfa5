"""The written file holds what was given, under the item's name, and bad sound is refused."""

import numpy as np
import pytest
import soundfile

from nodes.wav import Wav
from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Context
from pipelines.schema.values import Audio


def write(tmp_path, samples, reported=None, item="song", **knobs):
    context = Context(item, tmp_path / "task", warn=(reported if reported is not None else []).append)
    return Wav(**knobs).run(None, {"audio": Audio.of(samples, 8000)}, context)["file"].path


@pytest.mark.parametrize(("format_", "step"), [("pcm16", 2**-15), ("pcm24", 2**-23), ("float", 0)])
def test_what_is_read_back_is_what_was_given(format_, step, tmp_path):
    samples = np.random.default_rng(1).uniform(-0.9, 0.9, (2, 300_000)).astype(np.float32)
    path = write(tmp_path, samples, format=format_)
    back, rate = soundfile.read(path, dtype="float32", always_2d=True)
    assert path == tmp_path / "task" / "song.wav"
    assert rate == 8000
    assert np.abs(back.T - samples).max() <= step


def test_clipping_is_said(tmp_path):
    reported = []
    write(tmp_path, np.array([0.0, 2.0]), reported)
    assert "6.0 dB over full scale" in reported[0]


def test_an_items_folders_cannot_leave_the_tasks_folder(tmp_path):
    assert write(tmp_path, np.zeros(10), item="../../x").parent == tmp_path / "task"


@pytest.mark.parametrize(("samples", "named"), [([np.nan, 0.0], "not numbers"), ([], "is empty")])
def test_bad_sound_is_refused(samples, named, tmp_path):
    with pytest.raises(TaskFailed, match=named):
        write(tmp_path, np.array(samples))


@pytest.mark.parametrize("knobs", [{"format": "mp3"}, {"name": "../x"}, {"name": ""}])
def test_bad_knobs_are_refused(knobs):
    with pytest.raises(ValueError, match="must be"):
        Wav(**knobs)


def test_a_stream_writes_the_same_file_while_it_arrives(tmp_path):
    samples = np.random.default_rng(2).uniform(-0.9, 0.9, (2, 30_000)).astype(np.float32)
    whole = write(tmp_path / "run", samples).read_bytes()
    sizes = []

    def arriving():
        for at in range(0, 30_000, 10_000):
            sizes.extend(path.stat().st_size for path in (tmp_path / "task").glob("*.wav"))
            yield Audio.of(samples[:, at : at + 10_000], 8000)

    (made,) = Wav().stream(None, {}, arriving(), Context("song", tmp_path / "task"))
    assert made.path.read_bytes() == whole
    assert sizes[-1] > 10_000  # what has been heard so far is in the file already


@pytest.mark.parametrize("chunks", [[], [Audio.of(np.zeros(10), 8000), Audio.of(np.zeros(10), 16000)]])
def test_a_stream_of_nothing_or_of_two_rates_is_refused(chunks, tmp_path):
    with pytest.raises(TaskFailed, match=r"is empty|16000 Hz"):
        list(Wav().stream(None, {}, iter(chunks), Context("song", tmp_path)))
