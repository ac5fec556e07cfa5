"""The sample song says truly what it sings."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from nodes.sample.melodies import MELODIES, score_line
from nodes.sample.sing import HOP
from nodes.sample.song import RATE, Song, make_song, write_sample
from pipelines.schema.errors import UsageError

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module")
def song() -> Song:
    return make_song(melody="twinkle", seed=3, voice="f2", tempo=110, seconds=9)


@pytest.mark.parametrize("name", MELODIES)
def test_every_melody_has_a_note_for_every_syllable_and_whole_bars(name: str) -> None:
    beat = 0.0
    for words, notes in MELODIES[name].lines:
        line, beat = score_line(words, notes, beat)
        sung = [n.text.strip() for n in line if n.text != "~"]
        assert "".join(sung) == words.replace("-", "").replace(" ", "")
        assert all(48 <= n.midi <= 84 and n.length > 0 for n in line)


def test_a_line_with_too_few_notes_is_refused() -> None:
    with pytest.raises(ValueError, match="more syllables than notes"):
        score_line("Twin-kle star", "C4 C4", 0)


def test_the_voice_sings_the_pitch_that_truth_states(song: Song) -> None:
    """Autocorrelation, which knows nothing of WORLD, finds the stated hertz in the middle of each note."""
    vocals = song.vocals[0]
    for note in song.truth.notes:
        middle = note.start + 0.5 * (note.end - note.start)
        piece = vocals[int((middle - 0.03) * RATE) : int((middle + 0.03) * RATE)]
        piece = piece - piece.mean()
        against = np.correlate(piece, piece, "full")[len(piece) - 1 :]
        shortest, longest = RATE // 700, RATE // 90
        lag = shortest + int(np.argmax(against[shortest:longest]))
        truth = song.truth.pitch[int(middle / HOP)]
        cents = 1200 * np.log2(RATE / lag / truth)
        assert abs((cents + 600) % 1200 - 600) < 40, note


def test_notes_lie_on_the_beat_and_words_cover_their_notes(song: Song) -> None:
    truth = song.truth
    beats = np.array([n.start for n in truth.notes]) * truth.bpm / 60
    assert np.allclose(beats * 2, np.round(beats * 2), atol=1e-6)
    assert all(a.end <= b.start + HOP for a, b in zip(truth.notes, truth.notes[1:], strict=False))
    assert all(a.end <= b.start + 1e-6 for a, b in zip(truth.words, truth.words[1:], strict=False))
    firsts = [n for n in truth.notes if n.text.startswith(" ")]
    assert len(firsts) == len(truth.words)
    for word, note in zip(truth.words, firsts, strict=True):
        assert note.start - 0.17 < word.start <= note.start < word.end
    assert [w.text for w in truth.words][:4] == ["Twinkle", "twinkle", "little", "star"]


def test_the_voice_is_central_and_as_loud_as_the_band_whose_chords_are_wide(song: Song) -> None:
    assert np.array_equal(song.vocals[0], song.vocals[1])
    sounding = np.abs(song.vocals[0]) > 0.02 * np.abs(song.vocals[0]).max()
    voice, band = (np.mean(x[:, sounding] ** 2) for x in (song.vocals, song.band))
    assert 10 * np.log10(voice / band) == pytest.approx(0, abs=0.05)
    side, middle = song.band[0] - song.band[1], song.band[0] + song.band[1]
    assert 0.05 < np.mean(side**2) / np.mean(middle**2) < 1
    assert np.abs(song.mix).max() < 0.9


def test_a_seed_makes_the_same_song_and_another_a_different_one(tmp_path, song: Song) -> None:
    again = make_song(melody="twinkle", seed=3, voice="f2", tempo=110, seconds=9)
    assert np.array_equal(song.mix, again.mix)
    other = make_song(melody="twinkle", seed=4, voice="f2", tempo=110, seconds=9)
    assert other.mix.shape != song.mix.shape or not np.allclose(other.mix, song.mix)


def test_what_is_written_is_what_was_sung(tmp_path, song: Song) -> None:
    sample = write_sample(tmp_path, melody="twinkle", seed=3, voice="f2", tempo=110, seconds=9)
    data, rate = soundfile.read(sample.audio)
    assert rate == 44100
    assert np.abs(data.T - song.mix).max() < 1e-4
    truth = json.loads(sample.truth.read_text(encoding="utf-8"))
    assert [n["midi"] for n in truth["notes"]] == [n.midi for n in song.truth.notes]
    assert truth["bpm"] == 110
    assert sample.lyrics.read_text(encoding="utf-8").splitlines()[0] == "Twinkle twinkle little star"
    first = sample.audio.read_bytes()
    write_sample(tmp_path, melody="twinkle", seed=3, voice="f2", tempo=110, seconds=9)
    assert sample.audio.read_bytes() == first


def test_an_unknown_melody_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'twinkle'"):
        make_song(melody="twinkel")
    with pytest.raises(UsageError, match="beats a minute"):
        make_song(melody="twinkle", tempo=1000)
