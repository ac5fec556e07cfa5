"""Notes are what is sung: known melodies, an exhaustive search beside Viterbi, slips and noise that must not become notes."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.notes import Notes
from nodes.notes.frames import HOP, Frames, frames_of
from nodes.notes.music import breaks, key, tempo
from nodes.notes.segment import Costs, _decode, _pitch_costs, segments_of, tuning
from nodes.notes.syllables import sing, syllables
from pipelines.schema.node import Context
from pipelines.schema.values import Audio, Contour, Note, Word, Words

NONE = Words(())


def contour(
    sung: list[tuple[float, float, float]], seconds: float, *, hop: float = 0.01, vibrato: float = 0.3
) -> Contour:
    """(start, end, midi) as a tracker would say it: vibrato, glides of 60 ms, nonsense at low confidence in between."""
    times = np.arange(0, seconds, hop)
    random = np.random.default_rng(1)
    midi, confidence = random.uniform(40, 90, len(times)), np.full(len(times), 0.05)
    for start, end, pitch in sung:
        inside = (times >= start) & (times < end)
        into = times[inside] - start
        before = next((p for _, e, p in sung if abs(e - start) < 0.02), pitch)
        glide = (before - pitch) * np.clip(0.5 - into / 0.06, 0, 1)
        midi[inside] = pitch + glide + vibrato * np.sin(2 * np.pi * 5.5 * into) * (into > 0.2)
        confidence[inside] = 0.85
    return Contour(times, 440 * 2 ** ((midi - 69) / 12), confidence)


def voice(sung: list[tuple[float, float, float]], seconds: float, rate: int = 16000) -> Audio:
    """Harmonic tones that swell in 20 ms."""
    sound = np.zeros(int(seconds * rate))
    for start, end, pitch in sung:
        times = np.arange(int((end - start) * rate)) / rate
        tone = sum(np.sin(2 * np.pi * k * 440 * 2 ** ((pitch - 69) / 12) * times) / k for k in range(1, 12))
        at = int(start * rate)
        sound[at : at + len(tone)] += tone * np.minimum(1, np.minimum(times, times[-1] - times) / 0.02)
    return Audio.of(0.2 * sound, rate)


def detected(sung, seconds=None, vocals=None, words=NONE):
    seconds = seconds or sung[-1][1] + 0.5
    return segments_of(frames_of(contour(sung, seconds), vocals or voice(sung, seconds), words))


SCALE = [(0.5, 1.0, 60), (1.0, 1.4, 62), (1.4, 2.2, 64), (2.6, 3.0, 55), (3.0, 3.2, 57), (3.2, 4.4, 67)]


@pytest.mark.parametrize("hop", [0.01, 0.016, 0.005])
def test_a_melody_with_vibrato_and_glides_is_heard_as_written(hop: float) -> None:
    found = segments_of(frames_of(contour(SCALE, 5, hop=hop), voice(SCALE, 5), NONE))
    assert [s.midi for s in found] == [60, 62, 64, 55, 57, 67]
    for segment, (start, end, _) in zip(found, SCALE, strict=True):
        assert segment.start * HOP == pytest.approx(start, abs=0.04)
        assert segment.stop * HOP == pytest.approx(end, abs=0.06)


def test_a_pitch_sung_twice_is_two_notes_only_where_the_voice_says_so() -> None:
    held, twice = [(0.5, 2.0, 60)], [(0.5, 1.2, 60), (1.26, 2.0, 60)]
    assert len(detected(held, 3, voice(held, 3))) == 1
    found = segments_of(frames_of(contour(held, 3), voice(twice, 3), NONE))
    assert len(found) == 2
    assert found[1].start * HOP == pytest.approx(1.26, abs=0.04)


def test_drum_strokes_over_a_held_note_do_not_cut_it() -> None:
    held = [(0.5, 3.0, 60)]
    sound, random = voice(held, 3.5).mono().copy(), np.random.default_rng(0)
    for at in (1.0, 1.5, 2.0, 2.5):
        stroke = random.normal(0, 0.2, 1600) * np.exp(-np.arange(1600) / 400)
        sound[int(at * 16000) : int(at * 16000) + 1600] += stroke
    assert len(detected(held, 3.5, Audio.of(sound, 16000))) == 1


def test_octave_slips_of_the_tracker_make_no_notes() -> None:
    sound = contour([(0.5, 2.5, 60)], 3, vibrato=0.2)
    hertz = sound.hertz.copy()
    for at, factor in ((0.8, 2.0), (1.3, 0.5), (1.9, 2.0)):
        hertz[int(at / 0.01) : int(at / 0.01) + 9] *= factor
    found = segments_of(frames_of(Contour(sound.times, hertz, sound.confidence), voice([(0.5, 2.5, 60)], 3), NONE))
    assert [s.midi for s in found] == [60]


@pytest.mark.parametrize("level", [0.02, 0.1, 0.3])
def test_a_tracker_that_is_never_sure_gives_no_notes(level: float) -> None:
    random = np.random.default_rng(2)
    times = np.arange(0, 5, 0.01)
    noise = Audio.of(random.normal(0, 0.1, 80000), 16000)
    nonsense = Contour(times, random.uniform(60, 900, 500), np.clip(random.normal(level, 0.03, 500), 0, 1))
    assert len(segments_of(frames_of(nonsense, noise, NONE))) <= 1
    assert segments_of(frames_of(Contour(times[:0], times[:0], times[:0]), noise, NONE)) == []


def test_a_song_tuned_off_concert_pitch_keeps_its_intervals() -> None:
    off = [(start, end, pitch + 0.42) for start, end, pitch in SCALE]
    assert np.diff([s.midi for s in detected(off, 5)]).tolist() == np.diff([60, 62, 64, 55, 57, 67]).tolist()
    assert tuning(np.array([60.3, 62.31, 55.29])) == pytest.approx(0.3, abs=0.01)
    assert tuning(np.arange(0, 1, 0.01)) == 0.0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([59.8, 60.0, 60.4, 61.0, 61.9, 73.1]), min_size=9, max_size=9),
    st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=9, max_size=9),
    st.lists(st.sampled_from([0.0, 0.4, 1.0]), min_size=9, max_size=9),
)
def test_viterbi_finds_what_an_exhaustive_search_finds(
    midi: list[float], voicing: list[float], onset: list[float]
) -> None:
    """The same costs summed segment by segment, over every way to cut nine frames into rests and notes on three semitones."""
    frames = Frames(np.array(midi), np.array(voicing), np.ones(9), np.array(onset))
    costs, pitches = Costs(shortest=2, enter=0.7, again=0.9, onset=0.8), np.array([60, 61, 62])
    sustain, attack = _pitch_costs(frames.midi, pitches, 61.0, costs)

    def note(start: int, stop: int, pitch: int) -> float:
        total = 0.0
        for frame in range(start, stop):
            pitched = (attack if frame < start + costs.shortest else sustain)[frame, pitch]
            total += voicing[frame] * pitched + costs.silent * (1 - voicing[frame])
        return total

    def enter(at: int, before: int, pitch: int) -> float:
        if before < 0:
            return costs.enter - costs.onset * onset[at]
        leap = (
            costs.again if before == pitch else costs.enter + costs.reach * abs(int(pitches[before] - pitches[pitch]))
        )
        return leap - costs.onset * onset[at]

    @cache
    def cheapest(at: int, before: int) -> float:
        if at == 9:
            return 0.0
        ways = [costs.sung * voicing[at] + cheapest(at + 1, -1)]
        for pitch in range(3):
            # A note lasts one frame more than its attack at least: the sustain is where it may end.
            for stop in range(at + costs.shortest + 1, 10):
                ways.append(enter(at, before, pitch) + note(at, stop, pitch) + cheapest(stop, pitch))
        return min(ways)

    found = _decode(frames, frames.midi, pitches, 61.0, costs)
    total, before_stop, before_pitch = 0.0, 0, -1
    for start, stop, pitch in found:
        total += sum(costs.sung * voicing[f] for f in range(before_stop, start))
        total += enter(start, before_pitch if start == before_stop else -1, pitch) + note(start, stop, pitch)
        before_stop, before_pitch = stop, pitch
    total += sum(costs.sung * voicing[f] for f in range(before_stop, 9))
    assert total == pytest.approx(cheapest(0, -1), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.2, 1.0))
def test_whatever_the_contour_notes_ascend_do_not_overlap_and_have_length(seed: int, sure: float) -> None:
    random = np.random.default_rng(seed)
    count = 300
    midi = np.cumsum(random.normal(0, 1.5, count)) * 0.3 + 60 + 12 * (random.random(count) < 0.05)
    made = Contour(np.arange(count) * 0.01, 440 * 2 ** ((midi - 69) / 12), sure * random.random(count))
    words = Words(tuple(Word(w, 0.5 * i, 0.5 * i + 0.4) for i, w in enumerate(["ever", "so", "many", "words"])))
    noise = Audio.of(random.normal(0, 0.1, 40000), 16000)
    notes = sing(segments_of(frames_of(made, noise, words)), words)
    assert all(n.end - n.start >= 0.07 for n in notes)
    assert all(a.end <= b.start + 1e-9 for a, b in pairwise(notes))


# --- words ---------------------------------------------------------------------------------------------------------


def test_syllables_joined_are_the_word_again_and_never_more_than_wanted() -> None:
    for word in ("twinkle", "Alabama", "over", "don't", "a", "Größe", "rhythm", "naïve", "über", "—"):
        for wanted in range(1, 5):
            pieces = syllables(word, "en", wanted)
            assert "".join(pieces) == word
            assert 1 <= len(pieces) <= wanted
    assert syllables("Alabama", "en", 4) == ["Al", "a", "ba", "ma"]
    assert syllables("Liebe", "de", 2) == ["Lie", "be"]
    assert syllables("words", "ja", 2) == ["words"]


def test_a_number_on_several_notes_is_sung_as_its_words_and_on_one_note_stays_a_number() -> None:
    assert syllables("24", "en", 3) == ["twen", "ty-", "four"]
    assert syllables("24", "en", 1) == ["24"]
    assert "".join(syllables("24", "de", 4)) == "vierundzwanzig"
    assert syllables("24", "tlh", 3) == ["24"]
    sung = [(0.5, 0.9, 60), (0.9, 1.3, 62), (1.3, 1.8, 64), (2.0, 2.5, 62)]
    assert texts(sung, [("101", 0.5, 1.8), ("ways", 2.0, 2.5)]) == [" one", " hun", "dred and one", " ways"]


def texts(sung, spoken):
    words = Words(tuple(Word(text, start, end) for text, start, end in spoken))
    return [n.text for n in sing(detected(sung, words=words), words)]


def test_syllables_go_to_notes_and_what_is_held_is_a_tilde() -> None:
    sung = [(0.5, 0.9, 60), (0.9, 1.3, 62), (1.5, 2.0, 64), (2.0, 2.5, 62)]
    assert texts(sung, [("twinkle", 0.45, 1.3), ("star", 1.45, 2.5)]) == [" twin", "kle", " star", "~"]


def test_a_word_without_a_note_of_its_own_is_not_lost() -> None:
    sung = [(0.5, 1.0, 60), (1.0, 1.5, 62)]
    assert texts(sung, [("of", 0.5, 0.55), ("the", 0.55, 1.0), ("sea", 1.0, 1.5)]) == [" of the", " sea"]


def test_no_words_leave_the_notes_as_they_are() -> None:
    assert texts(SCALE, []) == ["~"] * 6


def test_wrong_words_change_the_text_and_not_the_notes() -> None:
    right = [("one", 0.5, 1.0), ("two", 1.0, 1.4), ("three", 1.4, 2.2), ("four", 2.6, 3.0)]
    wrong = [("elephantine", 0.5, 1.0), ("a", 1.0, 1.4), ("b", 1.4, 2.2), ("incomprehensible", 2.6, 3.0)]
    first, second = (detected(SCALE, words=Words(tuple(Word(*w) for w in spoken))) for spoken in (right, wrong))
    assert first == second


# --- what they are set in ------------------------------------------------------------------------------------------


def test_phrases_begin_after_breaths_and_at_words_only() -> None:
    """Three phrases of about three seconds: a breath before a word, then a pause of a second before a held note."""
    first = [Note(i, i + 0.9, 60, " la" if i != 1 else "~") for i in range(3)]
    second = [Note(3.4 + i, 4.3 + i, 60, "~" if i == 2 else " la") for i in range(3)]
    third = [Note(8 + i, 9 + i, 60, "~") for i in range(3)]
    assert breaks([*first, *second, *third]) == (3, 6)
    assert breaks(first[:1]) == ()
    assert breaks([]) == ()


def test_a_phrase_too_long_to_read_is_parted_at_a_word() -> None:
    notes = [Note(0.5 * i, 0.5 * i + 0.5, 60, " la" if i % 2 == 0 else "~") for i in range(60)]
    found = breaks(notes)
    edges = [0, *found, 60]
    assert all(notes[i].text == " la" for i in found)
    assert all(notes[b - 1].end - notes[a].start <= 7.5 for a, b in pairwise(edges))


@pytest.mark.parametrize(("tonic", "name"), [(0, "C major"), (7, "G major"), (10, "Bb major")])
def test_the_key_of_a_melody(tonic: int, name: str) -> None:
    degrees = (0, 2, 4, 0, 4, 5, 7, 7, 9, 7, 5, 4, 0, 7, 0)
    assert key([Note(i, i + 1, 60 + tonic + d) for i, d in enumerate(degrees)]) == name


@pytest.mark.slow
@pytest.mark.parametrize("bpm", [90.0, 120.0, 140.0])
def test_the_tempo_of_clicks(bpm: float) -> None:
    sound, random = np.zeros(22050 * 12), np.random.default_rng(0)
    for at in np.arange(0, 11.5, 60 / bpm):
        sound[int(at * 22050) : int(at * 22050) + 500] += random.normal(0, 0.5, 500)
    assert tempo(Audio.of(sound, 22050)) == pytest.approx(bpm, rel=0.05)


def test_silence_has_the_default_tempo_and_no_notes(tmp_path: Path) -> None:
    silent = Audio.of(np.zeros(30000), 8000)
    warned: list[str] = []
    quiet = Contour(np.arange(300) * 0.01, np.full(300, 100.0), np.zeros(300))
    context = Context("quiet", tmp_path, warn=warned.append)
    notes = Notes().run(None, {"words": NONE, "contour": quiet, "audio": silent, "vocals": silent}, context)["notes"]
    assert (notes.notes, notes.bpm, notes.key) == ((), 120.0, "")
    assert "quiet" in warned[0]
