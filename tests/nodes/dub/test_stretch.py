"""Stretching changes how long a sound lasts and nothing else."""

import numpy as np
import pytest

from nodes.dub.stretch import stretched

RATE = 16000


def tone(hertz, seconds):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


@pytest.mark.parametrize("factor", [0.6, 0.8, 1.0, 1.3])
@pytest.mark.parametrize("hertz", [110, 237.3])
def test_a_tone_keeps_pitch_and_loudness(factor, hertz):
    sound = tone(hertz, 1.5)
    made = stretched(sound, RATE, round(len(sound) * factor))
    assert made.dtype == np.float32
    assert len(made) == round(len(sound) * factor)
    inner = made[800:-800]
    spectrum = np.abs(np.fft.rfft(inner * np.hanning(len(inner)), 1 << 18))
    assert spectrum.argmax() * RATE / (1 << 18) == pytest.approx(hertz, rel=0.01)
    assert np.std(inner) == pytest.approx(np.std(sound), rel=0.1)


def test_events_stay_in_order_and_in_proportion():
    sound = np.zeros(RATE * 2, np.float32)
    for second in (0.4, 1.0, 1.6):
        sound[int(second * RATE) : int((second + 0.1) * RATE)] = tone(400, 0.1)
    made = np.abs(stretched(sound, RATE, int(1.4 * RATE)))
    for second in (0.4, 1.0, 1.6):
        middle = (second + 0.05) * 0.7
        assert made[int((middle - 0.02) * RATE) : int((middle + 0.02) * RATE)].max() > 0.3
    assert made[int(0.55 * RATE) : int(0.62 * RATE)].max() < 0.05


@pytest.mark.parametrize("length", [0, 1, 50, 700])
def test_any_length_is_given_as_asked(length):
    assert len(stretched(tone(200, 0.3), RATE, length)) == length
    assert len(stretched(tone(200, 0.3)[:length], RATE, 500)) == 500
