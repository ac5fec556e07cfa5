"""Spoken lines land where the original lines were, quicker where they must be, never on top of each other."""

import numpy as np
import pytest

from nodes.dub.time_fit import Fit
from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Context
from pipelines.schema.values import Audio, Word, Words

RATE = 8000


def spoken(*seconds):
    """Tones of 200, 300... Hz of these lengths, one after another, and their times."""
    sounds, words, at = [], [], 0.0
    for index, length in enumerate(seconds):
        sounds.append(0.5 * np.sin(2 * np.pi * (200 + 100 * index) * np.arange(int(length * RATE)) / RATE))
        words.append(Word(str(index), at, at + length))
        at += length
    return {"speech": Audio.of(np.concatenate(sounds), RATE), "spoken": Words(tuple(words))}


def lines(*times):
    return {"lines": Words(tuple(Word(str(index), start, end) for index, (start, end) in enumerate(times)))}


def fit(tmp_path, *parts, reported=None, **more):
    inputs = {key: value for part in parts for key, value in part.items()} | more
    return Fit().run(None, inputs, Context("a", tmp_path, warn=(reported if reported is not None else []).append))[
        "audio"
    ]


def detected(audio, hertz):
    """First and last second in which this tone sounds."""
    sound, frame = audio.mono(), RATE // 50
    found = []
    for index in range(len(sound) // frame):
        block = sound[index * frame : (index + 1) * frame]
        power = abs(np.sum(block * np.exp(-2j * np.pi * hertz * np.arange(frame) / RATE))) / frame
        if power > 0.12:
            found.append(index / 50)
    return found[0], found[-1] + 0.02


def test_short_lines_start_where_the_originals_did_and_are_not_slowed(tmp_path):
    original = Audio.of(np.zeros(2 * 10 * 44100).reshape(2, -1), 44100)
    made = fit(tmp_path, spoken(0.5, 0.7), lines((1.0, 3.0), (4.0, 6.0)), audio=original)
    assert made.seconds == pytest.approx(10.0)
    assert detected(made, 200) == pytest.approx((1.0, 1.5), abs=0.05)
    assert detected(made, 300) == pytest.approx((4.0, 4.7), abs=0.05)


def test_a_line_that_is_too_long_is_said_quicker_and_ends_in_time(tmp_path):
    made = fit(tmp_path, spoken(1.4, 0.5), lines((0.0, 1.0), (1.1, 2.0)))
    assert detected(made, 200)[1] <= 1.08
    assert detected(made, 300)[0] == pytest.approx(1.1, abs=0.05)


def test_what_cannot_be_said_that_quickly_moves_the_next_and_is_named(tmp_path):
    reported = []
    made = fit(tmp_path, spoken(3.2, 0.5), lines((0.0, 0.9), (1.0, 2.0)), reported=reported)
    assert detected(made, 200)[1] == pytest.approx(2.0, abs=0.05)
    assert detected(made, 300)[0] == pytest.approx(2.0, abs=0.05)
    assert "run over" in reported[0]


def test_different_numbers_of_lines_are_refused(tmp_path):
    with pytest.raises(TaskFailed, match="2 lines were spoken for 1"):
        fit(tmp_path, spoken(0.5, 0.5), lines((0.0, 1.0)))
