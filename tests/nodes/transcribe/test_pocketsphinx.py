"""Known words found in songs whose words have known times, and what is heard where there are none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nodes.audio.reading import resampled
from nodes.sample.song import make_song
from nodes.speak.espeak import Espeak
from nodes.transcribe.pocketsphinx import PocketSphinx
from nodes.transcribe.pocketsphinx.spelling import lyrics_words, pronounce, sounds
from nodes.transcribe.stretches import RATE, PcmReader, levels, stretches
from pipelines.schema.errors import Interrupted, TaskFailed
from pipelines.schema.node import Context, Place
from pipelines.schema.roles import ROLES
from pipelines.schema.values import Audio, Text, Word, Words


@pytest.fixture(scope="module")
def decoder() -> Any:
    return PocketSphinx().load(Place())


def words(decoder: Any, audio: Audio, settings: dict[str, Any] | None = None, **context: Any) -> tuple[Word, ...]:
    made = Context("song", Path("unused"), settings=settings or {}, **context)
    found = PocketSphinx().run(decoder, {"audio": audio}, made)["words"]
    assert isinstance(found, Words)
    return found.words


def voice(seconds: float, melody: str = "bonnie", seed: int = 3) -> tuple[Audio, list[Word], str]:
    song = make_song(melody=melody, seed=seed, seconds=seconds)
    return Audio.of(song.vocals, 44100), list(song.truth.words), " ".join(w.text for w in song.truth.words)


def test_has_the_ports_of_its_role() -> None:
    assert PocketSphinx.inputs.keys() == ROLES["transcribe"].inputs.keys()
    assert PocketSphinx.outputs.keys() == ROLES["transcribe"].outputs.keys()


@pytest.mark.slow
def test_given_words_are_found_where_they_are_sung(decoder: Any) -> None:
    audio, truth, lyrics = voice(14.0)
    found = words(decoder, audio, {"lyrics": lyrics})
    assert [w.text for w in found] == [w.text for w in truth]
    near = [abs(f.start - t.start) <= 0.15 for f, t in zip(found, truth, strict=True)]
    assert np.mean(near) >= 0.9


@pytest.mark.slow
def test_a_long_rest_in_a_sound_is_no_part_of_a_word(decoder: Any) -> None:
    audio, _, lyrics = voice(7.0)
    rest = 14.0
    twice = np.concatenate([audio.read(), np.zeros((2, int(rest * 44100)), np.float32), audio.read()], axis=1)
    once = [w.start for w in words(decoder, audio, {"lyrics": lyrics})]
    found = words(decoder, Audio.of(twice, 44100), {"lyrics": f"{lyrics}\n{lyrics}"})
    expected = once + [start + audio.seconds + rest for start in once]
    assert len(found) == len(expected)
    assert np.mean([abs(w.start - start) <= 0.15 for w, start in zip(found, expected, strict=True)]) >= 0.9


def test_words_are_in_order_and_keep_their_spelling(decoder: Any) -> None:
    audio, _, _ = voice(5.0)
    lyrics = "[Verse 1]\nMy Bonnie’s Xylothorpe – lies\nov'r THE café-ocean!"
    found = words(decoder, audio, {"lyrics": lyrics})
    assert [w.text for w in found] == ["My", "Bonnie’s", "Xylothorpe", "lies", "ov'r", "THE", "café-ocean!"][
        : len(found)
    ]
    assert len(found) > 3
    times = [t for w in found for t in (w.start, w.end)]
    assert times == sorted(times)
    assert all(0 <= w.confidence <= 1 for w in found)
    assert times[-1] <= audio.seconds + 0.1


def test_what_came_before_does_not_change_what_is_found(decoder: Any) -> None:
    audio, _, lyrics = voice(5.0)
    first, detected = words(decoder, audio, {"lyrics": lyrics}), words(decoder, audio)
    assert words(decoder, audio) == detected
    assert words(decoder, audio, {"lyrics": lyrics}) == first
    assert words(PocketSphinx().load(Place()), audio, {"lyrics": lyrics}) == first


class Watched:
    """A decoder whose calls of the search for words are noted: bytes given to it."""

    def __init__(self, decoder: Any) -> None:
        self._decoder, self.fed = decoder, list[int]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._decoder, name)

    def process_raw(self, pcm: bytes, **how: bool) -> Any:
        if self._decoder.current_search() != "deaf":
            self.fed.append(len(pcm))
        return self._decoder.process_raw(pcm, **how)


def test_sound_fed_in_pieces_is_heard_as_it_is_at_once(decoder: Any) -> None:
    """Between pieces a Ctrl-C is heard and the screen is drawn."""
    audio, _, lyrics = voice(5.0)
    words(decoder, audio, {"lyrics": f"{lyrics} zzyzx"})  # a word it had to learn
    watched = Watched(decoder)
    found = words(watched, audio)
    assert max(watched.fed) <= RATE  # half a second of 16 bits
    level = levels([resampled(audio.mono(), audio.rate, RATE)])
    reader = PcmReader(iter([resampled(audio.mono(), audio.rate, RATE)]), float(level.max()))
    expected = []
    decoder.activate_search()
    for stretch in stretches(level, 12.0):
        decoder.reinit_feat(decoder.config)
        decoder.start_utt()
        decoder.process_raw(reader.pcm(stretch.start, stretch.end), no_search=False, full_utt=True)
        decoder.end_utt()
        expected += [(seg.word.partition("(")[0], seg.prob) for seg in decoder.seg() if seg.word[0] not in "<[+("]
    assert len(expected) > 3
    assert [(word.text, word.confidence) for word in found] == [(text, min(prob, 1.0)) for text, prob in expected]


def test_plain_speech_is_understood_at_8_khz_too(decoder: Any) -> None:
    text = {"text": Text("Good morning, how are you?")}
    message = Espeak(speed=110).run(None, text, Context("x", Path("unused")))["audio"]
    assert isinstance(message, Audio)
    wanted = {"good", "morning", "how", "are", "you"}
    assert len(wanted & {w.text for w in words(decoder, message)}) >= 4
    narrow = Audio.of(resampled(message.mono(), message.rate, 8000), 8000)
    assert len(wanted & {w.text for w in words(decoder, narrow)}) >= 2


@pytest.mark.parametrize("lyrics", [None, "My Bonnie"])
def test_silence_has_no_words(decoder: Any, lyrics: str | None) -> None:
    message: list[str] = []
    assert words(decoder, Audio.of(np.zeros(RATE), RATE), {"lyrics": lyrics}, warn=message.append) == ()
    assert len(message) == (1 if lyrics else 0)


def test_another_language_is_warned_of_once(decoder: Any) -> None:
    message: list[str] = []
    words(decoder, Audio.of(np.zeros(RATE), RATE), {"language": "de"}, warn=message.append)
    assert len(message) == 1
    assert "English" in message[0]
    words(decoder, Audio.of(np.zeros(RATE), RATE), {"language": "en-GB"}, warn=message.append)
    assert len(message) == 1


@pytest.mark.parametrize(("samples", "sentence"), [([0.0, np.nan], "not numbers"), ([], "no samples")])
def test_sound_that_cannot_be_used_fails_the_task(decoder: Any, samples: list[float], sentence: str) -> None:
    with pytest.raises(TaskFailed, match=sentence):
        words(decoder, Audio.of(np.array(samples), RATE))


def test_a_cancelled_task_stops(decoder: Any) -> None:
    audio, _, lyrics = voice(3.0)
    with pytest.raises(Interrupted):
        words(decoder, audio, {"lyrics": lyrics}, cancelled=lambda: True)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("’Tis", [("'tis",)]),
        ("rock & roll", [("rock",), ("and",), ("roll",)]),
        ("1999", [("nineteen", "ninety", "nine")]),
        ("24 hours, 10%", [("twenty", "four"), ("hours",), ("ten", "percent")]),
        ("– … ♪", []),
        ("[Chorus: all]\nla", [("la",)]),
        ("Čapek’s\tnaïve\n\nheart", [("capek's",), ("naive",), ("heart",)]),
    ],
)
def test_words_of_a_text(text: str, parts: list[tuple[str, ...]]) -> None:
    assert [word.parts for word in lyrics_words(text)] == parts


def test_numbers_are_read_in_the_language_of_the_song_as_far_as_the_model_has_letters_for_it() -> None:
    assert [word.parts for word in lyrics_words("24 Stunden", "de")] == [("vierundzwanzig",), ("stunden",)]
    assert [lyrics_words("24", language)[0].parts for language in ("ru", "tlh")] == [("twenty", "four")] * 2


def test_every_word_of_any_text_can_be_pronounced(decoder: Any) -> None:
    for word in lyrics_words("Wenceslas zzz q' 42nd rhythm & blues mother-in-law's Bonnie lovin'"):
        assert decoder.lookup_word(pronounce(decoder, word))


@pytest.mark.parametrize("word", ["bat", "ship", "mend", "think", "goat", "name"])
def test_spelling_sounds_much_like_the_dictionary(decoder: Any, word: str) -> None:
    wanted, got = decoder.lookup_word(word).split(), sounds(word).split()
    assert len(wanted) == len(got)
    assert sum(a != b for a, b in zip(wanted, got, strict=True)) <= 1


def test_stretches_leave_out_silence_and_are_cut_where_it_is_quiet() -> None:
    level = np.full(3000, 0.2, np.float32)
    level[1000:1200] = 0.0
    level[1790:1800] = 0.05
    found = stretches(level, 8.0)
    assert found[0].start == 0
    assert found[-2].end == pytest.approx(found[-1].start)
    assert max(s.end - s.start for s in found) <= 8.0
    assert not any(s.start < 11.0 < s.end for s in found)
    assert any(s.end == pytest.approx(17.95, abs=0.06) for s in found)


def test_a_tape_gives_the_same_sound_however_it_is_read() -> None:
    sound = np.random.default_rng(1).uniform(-0.1, 0.1, 5 * RATE).astype(np.float32)
    parts = [sound[:7], sound[7:30001], sound[30001:]]
    whole = PcmReader(iter([sound]), 0.1).pcm(0, 5)
    reader = PcmReader(iter(parts), 0.1)
    assert reader.pcm(0, 2) + reader.pcm(2, 5) == whole
    loud = levels([sound])
    assert len(loud) == 500
    assert np.all(np.abs(loud - np.sqrt(0.1**2 / 3)) < 0.02)
