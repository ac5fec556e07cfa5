"""Made-up inputs: of the size that was wanted, and such that nodes find in them what they look for."""

import itertools

import numpy as np
import pytest

from pipelines.footprints.synthetic import synthetic_inputs
from pipelines.schema.config import Item
from pipelines.schema.errors import UsageError
from pipelines.schema.node import Port
from pipelines.schema.values import Value


def made(kind: str, **size: float) -> Value:
    return synthetic_inputs({"x": Port(kind)}, Item("i", **size))["x"]  # type: ignore[arg-type]


def test_sound_is_a_steady_voice_of_the_wanted_length() -> None:
    sound = made("audio", seconds=2, channels=2)
    samples = sound.read()
    assert (sound.rate, samples.shape) == (44_100, (2, 88_200))
    assert 0.1 < np.abs(samples).max() <= 1.0
    assert np.abs(samples[0] - samples[1]).max() > 0  # the noise of each channel is its own
    assert np.abs(samples[0] - samples[1]).max() < 0.2
    again = made("audio", seconds=2, channels=2).read()
    assert (samples == again).all()


def spectrum_peak(samples: np.ndarray, at: float, low: float, high: float) -> float:
    """The loudest frequency between `low` and `high` around a time, in Hz."""
    middle = round(at * 44_100)
    frame = samples[middle - 4096 : middle + 4096] * np.hanning(8192)
    loud = np.abs(np.fft.rfft(frame, 1 << 17))
    hertz = np.fft.rfftfreq(1 << 17, 1 / 44_100)
    return float(hertz[np.where((low < hertz) & (hertz < high), loud, 0).argmax()])


@pytest.mark.parametrize(("at", "pitch"), [(1.75, 311.1), (3.5, 220.0), (5.25, 155.6), (8.75, 311.1)])
def test_the_voice_glides_through_an_octave_and_has_overtones(at: float, pitch: float) -> None:
    samples = made("audio", seconds=9).read()[0]
    assert spectrum_peak(samples, at, 100, 1000) == pytest.approx(pitch, rel=0.02)
    assert spectrum_peak(samples, at, 1.5 * pitch, 2.5 * pitch) == pytest.approx(2 * pitch, rel=0.03)


def test_the_voice_swells_twice_a_second() -> None:
    samples = made("audio", seconds=3).read()[0]
    loudness = [np.sqrt(np.mean(samples[at - 1102 : at + 1102] ** 2)) for at in range(5512, 120_000, 11_025)]
    assert np.array(loudness[::2]).min() > 3 * np.array(loudness[1::2]).max()


def test_sound_beside_a_text_has_the_length_of_a_reference_voice() -> None:
    sound = made("audio", characters=40)
    assert (sound.channels, sound.seconds) == (1, 6.0)


def test_sound_of_no_channels_has_one() -> None:
    assert made("audio", seconds=1, channels=0).channels == 1


@pytest.mark.parametrize(("size", "length"), [({"characters": 500}, 500), ({"seconds": 10}, 140), ({}, 1)])
def test_a_text_has_the_characters_that_were_wanted_or_are_spoken_in_that_time(size: dict, length: int) -> None:
    text = made("text", **size).text
    assert len(text) == length
    assert text.startswith("T")
    assert "The measure of a song" in text or length < 30


@pytest.mark.parametrize(("kind", "count"), [("words", 25), ("notes", 20)])
def test_words_and_notes_fill_the_time_in_order_without_overlap(kind: str, count: int) -> None:
    value = made(kind, seconds=10)
    parts = getattr(value, kind)
    assert len(parts) == count
    assert parts[0].start == 0
    assert 9.5 < parts[-1].end <= 10
    assert all(part.start < part.end for part in parts)
    assert all(one.end <= two.start for one, two in itertools.pairwise(parts))


def test_words_are_those_of_a_sentence_one_after_the_other() -> None:
    words = [word.text for word in made("words", seconds=8).words]
    assert words[:3] == ["The", "measure", "of"]
    assert words[15:17] == ["The", "measure"]  # the sentence has fifteen


def test_notes_are_a_singable_octave() -> None:
    notes = made("notes", seconds=10)
    assert [note.midi for note in notes.notes[:14]] == [*range(60, 72), 60, 61]
    assert notes.bpm == 120


def test_a_contour_is_a_confident_pitch_every_hundredth_second() -> None:
    contour = made("contour", seconds=7)
    assert len(contour.times) == len(contour.hertz) == len(contour.confidence) == 700
    assert np.diff(contour.times) == pytest.approx(0.01)
    assert 155 < contour.hertz.min() < 160
    assert 305 < contour.hertz.max() < 312
    assert set(contour.confidence) == {0.9}


@pytest.mark.parametrize(("kind", "part"), [("words", "words"), ("notes", "notes"), ("contour", "times")])
def test_an_item_without_length_gives_one_of_each(kind: str, part: str) -> None:
    assert len(getattr(made(kind), part)) == 1


def test_a_file_is_not_made_up_but_may_be_missing_where_it_is_optional() -> None:
    assert synthetic_inputs({"f": Port("file", optional=True)}, Item("i")) == {}
    with pytest.raises(UsageError, match="'f' of type 'file' cannot be made up"):
        synthetic_inputs({"f": Port("file")}, Item("i"))
