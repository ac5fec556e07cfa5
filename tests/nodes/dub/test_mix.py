"""The mix is the sum, ducked where there is speech, never over full scale, the same for a file as for an array."""

import numpy as np
import pytest
import soundfile

from nodes.dub.mix import Mix
from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Context
from pipelines.schema.values import Audio


def tone(hertz, seconds, rate, gain=0.2):
    return gain * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def mix(tmp_path, speech, music, **knobs):
    return Mix(**knobs).run(None, {"speech": speech, "instrumental": music}, Context("a", tmp_path))["audio"]


def level(samples, hertz, rate):
    return 2 * abs(np.mean(samples * np.exp(-2j * np.pi * hertz * np.arange(len(samples)) / rate)))


def test_music_steps_back_where_there_is_speech(tmp_path):
    voice = np.concatenate([np.zeros(24000), tone(300, 2, 24000), np.zeros(24000 * 2)])
    made = mix(tmp_path, Audio.of(voice, 24000), Audio.of(np.stack([tone(1000, 6, 44100)] * 2), 44100), duck=12.0)
    assert (made.rate, made.channels, made.seconds) == (44100, 2, pytest.approx(6.0))
    sound = made.read()[0]
    assert level(sound[:40000], 1000, 44100) == pytest.approx(0.2, rel=0.02)
    assert level(sound[2 * 44100 : 3 * 44100 - 4410], 1000, 44100) == pytest.approx(0.2 * 10 ** (-12 / 20), rel=0.05)
    assert level(sound[2 * 44100 : 3 * 44100 - 4410], 300, 44100) == pytest.approx(0.2, rel=0.02)
    assert level(sound[5 * 44100 :], 1000, 44100) == pytest.approx(0.2, rel=0.02)
    assert np.abs(np.diff(sound)).max() < 0.06


def test_too_loud_a_sum_is_lowered_evenly(tmp_path):
    rate = 8000
    made = mix(tmp_path, Audio.of(tone(300, 2, rate, 0.9), rate), Audio.of(tone(1000, 2, rate, 0.9), rate), duck=0.0)
    assert np.abs(made.read()).max() == pytest.approx(1.0, abs=1e-3)
    assert level(made.read()[0], 300, rate) == pytest.approx(level(made.read()[0], 1000, rate), rel=0.02)


def test_speech_longer_than_the_music_is_said_to_the_end(tmp_path):
    made = mix(tmp_path, Audio.of(tone(300, 3.3, 16000), 16000), Audio.of(tone(900, 1.2, 22050), 22050))
    assert made.seconds == pytest.approx(3.3, abs=0.001)
    assert level(made.read()[0][3 * 22050 :], 300, 22050) == pytest.approx(0.2, rel=0.05)


def test_a_file_mixes_as_an_array_does(tmp_path):
    soundfile.write(tmp_path / "m.wav", tone(1000, 2.5, 22050), 22050, subtype="FLOAT")
    speech = Audio.of(tone(300, 1, 16000), 16000)
    (tmp_path / "one").mkdir()
    one = mix(tmp_path / "one", speech, Audio.of(tone(1000, 2.5, 22050), 22050)).read()
    assert np.array_equal(one, mix(tmp_path, speech, Audio.open(tmp_path / "m.wav")).read())


def test_an_empty_side_is_refused(tmp_path):
    with pytest.raises(TaskFailed, match="empty"):
        mix(tmp_path, Audio.of(np.zeros(0), 8000), Audio.of(np.zeros(10), 8000))
