"""SwiftF0: true on a sound of known pitch, streamed, and honest about sound that is none."""

import numpy as np
import pytest

from nodes.pitch.swift import Swift
from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Context, Place
from pipelines.schema.values import Audio
from tests.nodes.pitch.test_crepe import glide

RATE = 16000


@pytest.fixture(scope="module")
def model():
    return Swift(threads=1).load(Place())


def run(model, sound, rate, tmp_path):
    return Swift(threads=1).run(model, {"audio": Audio.of(sound, rate)}, Context("song", tmp_path))["contour"]


@pytest.mark.parametrize("rate", [RATE, 8000, 44100])
def test_a_glide_is_followed(model, tmp_path, rate):
    sound, hertz = glide(1.5, rate=rate)
    found = run(model, sound, rate, tmp_path)
    assert np.allclose(np.diff(found.times), 0.016)
    truth = hertz[np.minimum((found.times * rate).astype(int), len(hertz) - 1)]
    assert np.abs(1200 * np.log2(found.hertz / truth))[3:-3].max() < 30


def test_streaming_gives_what_the_library_gives_at_once(model, tmp_path):
    sound = np.tile(glide(3.0)[0], 8)  # longer than a piece
    found = run(model, sound, RATE, tmp_path)
    at_once = model.detect(sound, RATE)
    assert np.allclose(found.hertz, at_once.pitch_hz, rtol=1e-3)
    assert np.allclose(found.confidence, at_once.confidence, atol=1e-3)


def test_sound_that_is_none(model, tmp_path):
    assert (run(model, np.zeros(RATE), RATE, tmp_path).confidence == 0).all()
    with pytest.raises(TaskFailed, match="not numbers"):
        run(model, np.full(RATE, np.nan), RATE, tmp_path)
    with pytest.raises(TaskFailed, match="no samples"):
        run(model, np.zeros(0), RATE, tmp_path)
