"""A sound read forward in overlapping pieces is the sound, at any rate and in as many channels as are wanted."""

import numpy as np
import pytest

from nodes.audio import forward_reader
from nodes.audio.forward_reader import ForwardReader
from nodes.audio.reading import mono_blocks
from pipelines.schema.values import Audio

SOUND = np.random.default_rng(1).normal(scale=0.1, size=(2, 8000)).astype(np.float32)


@pytest.fixture(autouse=True)
def short_pieces(monkeypatch):
    monkeypatch.setattr(forward_reader, "_PIECE", 0.05)


def test_overlapping_reads_are_the_samples_with_zeros_around_them():
    reader = ForwardReader(Audio.of(SOUND, 8000), "It", 8000, 2)
    padded = np.pad(SOUND, ((0, 0), (300, 1000)))
    for start in range(-300, 8200, 350):
        assert np.array_equal(reader.read(start, 700), padded[:, start + 300 : start + 1000])


def test_what_lies_far_back_is_let_go():
    reader = ForwardReader(Audio.of(SOUND, 8000), "It", 8000, 2)
    for start in range(0, 8000, 400):
        reader.read(start, 400)
        assert reader._held.shape[1] <= 400 + 2 * 400


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16000, 1), (16000, 2), (11025, 4)])
def test_rate_and_channels_are_what_is_wanted(rate, channels):
    count = 8000 * rate // 8000
    made = ForwardReader(Audio.of(SOUND, 8000), "It", rate, channels).read(0, count)
    assert made.shape == (channels, count)
    if channels == 1:
        assert np.allclose(made[0], np.concatenate(list(mono_blocks(Audio.of(SOUND, 8000), "It", rate)))[:count])
    else:
        assert all(np.array_equal(made[n], made[n % 2]) for n in range(channels))


def test_the_survey_is_of_the_whole_sound_and_costs_no_reading():
    reader = ForwardReader(Audio.of(SOUND, 8000), "It", 8000, 2)
    average = SOUND.mean(axis=0, dtype=np.float64)
    assert reader.survey() == pytest.approx((8000, average.mean(), average.std(ddof=1)), rel=1e-6)
    assert np.array_equal(reader.read(0, 100), SOUND[:, :100])
