"""espeak speaks: repeatably, by the sentence, in many languages, and says what it cannot do."""

import numpy as np
import pytest

from nodes.speak.espeak import Espeak
from pipelines.schema.errors import Interrupted, TaskFailed
from pipelines.schema.node import Context, StreamNode
from pipelines.schema.values import Audio, Text


def speak(text, tmp_path, node=None, voice=None, **settings):
    inputs = {"text": text if isinstance(text, Text) else Text(text)} | ({"voice": voice} if voice else {})
    return (node or Espeak()).run(None, inputs, Context("a", tmp_path, settings))


def test_the_same_text_gives_the_same_samples_whatever_was_said_before(tmp_path):
    first = speak("Hello there, this is a test.", tmp_path)["audio"]
    speak("Quelque chose d'autre.", tmp_path, language="fr")
    again = speak("Hello there, this is a test.", tmp_path)["audio"]
    assert first.rate == 22050
    assert 1.0 < first.seconds < 4.0
    assert np.abs(first.data).max() > 0.1
    assert np.array_equal(first.data, again.data)


def test_streamed_sentences_joined_equal_the_whole(tmp_path):
    context, text = Context("a", tmp_path), "One sentence. And another one! A third?"
    pieces = list(Espeak().stream(None, {"text": Text(text)}, None, context))
    arriving = list(
        Espeak().stream(None, {}, iter([Text("One sent"), Text("ence. And another one! A th"), Text("ird?")]), context)
    )
    whole = speak(text, tmp_path)["audio"].data
    assert isinstance(Espeak(), StreamNode)
    assert len(pieces) == len(arriving) == 3
    assert np.array_equal(np.concatenate([piece.data for piece in pieces], axis=1), whole)
    assert np.array_equal(np.concatenate([piece.data for piece in arriving], axis=1), whole)


def test_a_stream_returns_the_lines_a_run_gives(tmp_path):
    text = "The first. Still the first.\nThe second line."
    sound, returned = Espeak().stream(None, {"text": Text(text)}, None, Context("a", tmp_path)), None
    while returned is None:
        try:
            next(sound)
        except StopIteration as ended:
            returned = ended.value
    assert returned == {"words": speak(text, tmp_path)["words"]}


def test_lines_are_given_with_the_seconds_they_are_said_in(tmp_path):
    message = speak("The first. Still the first.\nThe second line.", tmp_path)
    first, second = message["words"].words
    assert (first.text, second.text) == ("The first. Still the first.", "The second line.")
    assert first.start == 0.0
    assert first.end == second.start
    assert second.end == pytest.approx(message["audio"].seconds)


def test_language_comes_from_the_item_then_the_text(tmp_path):
    german = speak(Text("Guten Tag, wie geht es?", "de"), tmp_path)["audio"]
    assert not np.array_equal(german.data, speak("Guten Tag, wie geht es?", tmp_path)["audio"].data)
    assert np.array_equal(german.data, speak("Guten Tag, wie geht es?", tmp_path, language="de")["audio"].data)


@pytest.mark.parametrize(
    "language", ["en", "de", "fr", "es", "it", "pt", "pl", "ru", "zh", "ja", "ko", "ar", "hi", "no"]
)
def test_common_languages_speak(language, tmp_path):
    assert speak("123", tmp_path, language=language)["audio"].seconds > 0.3


def test_speed_and_pitch_are_heard(tmp_path):
    slow, quick = (speak("Hello there.", tmp_path, Espeak(speed=speed))["audio"].seconds for speed in (100, 300))
    assert slow > 1.8 * quick


@pytest.mark.parametrize(("settings", "named"), [({"language": "xx"}, "'xx'"), ({"speaker": "nobody"}, "'nobody'")])
def test_unknown_voices_are_refused_by_name(settings, named, tmp_path):
    with pytest.raises(TaskFailed, match=named):
        speak("Hello.", tmp_path, **settings)


@pytest.mark.parametrize("text", ["", "...", "😀"])
def test_nothing_to_say_is_refused(text, tmp_path):
    with pytest.raises(TaskFailed, match="nothing that can be said"):
        speak(text, tmp_path)


def test_knobs_out_of_range_are_refused():
    with pytest.raises(ValueError, match="80 to 450"):
        Espeak(speed=10)


def test_a_reference_voice_is_not_silently_ignored(tmp_path):
    reported = []
    Espeak().run(
        None,
        {"text": Text("Hi."), "voice": Audio.of(np.zeros(100), 8000)},
        Context("a", tmp_path, warn=reported.append),
    )
    assert "cannot imitate" in reported[0]


def test_a_cancelled_task_stops_after_a_sentence(tmp_path):
    context = Context("a", tmp_path, cancelled=lambda: True)
    with pytest.raises(Interrupted):
        list(Espeak().stream(None, {"text": Text("One. Two. Three.")}, None, context))
