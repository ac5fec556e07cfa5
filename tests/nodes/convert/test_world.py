"""world moves a voice to where it was told: known shifts come back, silence stays silence, length is kept."""

import itertools

import numpy as np
import pytest

from nodes.audio.cuts import quiet_cuts
from nodes.convert.world import World, _pitch, _voice
from nodes.speak.espeak import Espeak
from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Context
from pipelines.schema.values import Audio, Text


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    message = Espeak().run(
        None, {"text": Text("We all wonder why she sells sea shells.")}, Context("a", tmp_path_factory.mktemp("a"))
    )
    return message["audio"]


def convert(audio, tmp_path, node=None, voice=None, reported=None, **settings):
    inputs = {"audio": audio} | ({"voice": voice} if voice else {})
    context = Context("a", tmp_path, settings, warn=(reported if reported is not None else []).append)
    return (node or World()).run(None, inputs, context)["audio"]


def voice(audio):
    return _voice([(audio.mono(), _pitch(audio.mono(), audio.rate))], audio.rate)


def cents(one, other):
    return 1200 / np.log(2) * (voice(other).centre - voice(one).centre)


@pytest.mark.parametrize("semitones", [-4, 5])
def test_pitch_moves_by_what_was_asked(semitones, speech, tmp_path):
    moved = convert(speech, tmp_path, World(semitones=semitones))
    assert (moved.rate, moved.channels, moved.frames) == (speech.rate, 1, speech.frames)
    assert cents(speech, moved) == pytest.approx(100 * semitones, abs=25)


def test_a_known_voice_is_found_again(speech, tmp_path):
    """The target is the source moved by known amounts: pitch within 20 cents of it, and the envelope nearer than before."""
    target = convert(speech, tmp_path, World(semitones=5, formant=1.15))
    made = convert(speech, tmp_path, voice=target)
    assert abs(cents(made, target)) < 20
    before, after, goal = voice(speech).envelope, voice(made).envelope, voice(target).envelope
    assert np.std(after - goal) < 0.35 * np.std(before - goal)


def test_the_target_may_be_the_items_setting(speech, tmp_path):
    import soundfile

    target = convert(speech, tmp_path, World(semitones=5))
    soundfile.write(tmp_path / "voice.wav", target.data.T, target.rate, subtype="FLOAT")
    named = World().run(None, {"audio": speech}, Context("a", tmp_path, {"voice": str(tmp_path / "voice.wav")}))[
        "audio"
    ]
    assert np.array_equal(named.data, convert(speech, tmp_path, voice=target).data)


def test_the_same_input_gives_the_same_samples(speech, tmp_path):
    node = World(semitones=2, formant=0.9)
    assert np.array_equal(convert(speech, tmp_path, node).data, convert(speech, tmp_path, node).data)


def test_without_a_target_nothing_is_changed_and_that_is_said(speech, tmp_path):
    reported = []
    assert np.array_equal(convert(speech, tmp_path, reported=reported).data, speech.data)
    assert "no target voice" in reported[0]


@pytest.mark.slow
def test_a_long_sound_in_pieces_is_as_loud_everywhere_as_in_one(speech, tmp_path):
    long = Audio.of(np.tile(speech.data, (1, 3)), speech.rate)
    whole = convert(long, tmp_path, World(3, 1.1, segment=600)).data[0]
    pieces = convert(long, tmp_path, World(3, 1.1, segment=2)).data[0]
    frame = int(0.05 * long.rate)

    def loudness(x):
        return np.sqrt((x[: len(x) // frame * frame].reshape(-1, frame) ** 2).mean(axis=1) + 1e-5)

    assert len(quiet_cuts(long.mono(), long.rate, 2)) > 3
    assert np.abs(20 * np.log10(loudness(pieces) / loudness(whole))).max() < 3


def test_silence_stays_silent(speech, tmp_path):
    quiet = Audio.of(np.zeros(16000), 16000)
    assert np.abs(convert(quiet, tmp_path, World(semitones=3)).data).max() < 1e-3
    assert np.abs(convert(quiet, tmp_path, voice=speech).data).max() < 1e-3


@pytest.mark.parametrize(
    ("audio", "target", "named"),
    [
        (Audio.of(np.full(16000, np.nan), 16000), None, "not numbers"),
        (Audio.of(np.zeros(0), 16000), None, "no samples"),
        (Audio.of(np.ones(4000), 4000), None, "4000 Hz"),
        (Audio.of(np.ones(16000), 16000), Audio.of(np.zeros(16000), 16000), "reference voice has no voiced sound"),
        (Audio.of(np.ones(16000), 16000), Audio.of(np.zeros(0), 16000), "reference voice has no samples"),
    ],
)
def test_bad_sound_is_refused_by_name(audio, target, named, tmp_path):
    with pytest.raises(TaskFailed, match=named):
        convert(audio, tmp_path, World(semitones=1), voice=target)


def test_a_voice_that_is_no_sound_file_is_refused(speech, tmp_path):
    (tmp_path / "x.wav").write_text("no sound")
    with pytest.raises(TaskFailed, match=r"x\.wav cannot be read"):
        World().run(None, {"audio": speech}, Context("a", tmp_path, {"voice": str(tmp_path / "x.wav")}))


def test_knobs_out_of_range_are_refused():
    with pytest.raises(ValueError, match="semitones 99"):
        World(semitones=99)


def test_cuts_are_where_it_is_quiet_and_never_further_apart_than_asked():
    rate, rng = 1000, np.random.default_rng(1)
    sound = rng.normal(size=10_000).astype(np.float32)
    for middle in (1800, 3700, 5500):
        sound[middle - 50 : middle + 50] = 0
    cuts = quiet_cuts(sound, rate, 2.0)
    assert cuts[0] == 0
    assert cuts[-1] == 10_000
    assert max(np.diff(cuts)) <= 2000
    assert [abs(cut - middle) < 50 for cut, middle in zip(cuts[1:4], (1800, 3700, 5500), strict=True)] == [True] * 3


@pytest.mark.parametrize("voiced", [False, True])
def test_a_stream_joined_equals_a_run_however_the_sound_arrives(voiced, speech, tmp_path):
    sound = Audio.of(np.tile(speech.data, (1, 3)), speech.rate)
    node, target = World(semitones=3), convert(speech, tmp_path, World(semitones=5)) if voiced else None
    whole = convert(sound, tmp_path, node, target).data
    inputs = {"voice": target} if voiced else {}
    for sizes in ([sound.frames], [7_000] * 50, [1, 50_000, 20, 90_000, 10_000_000]):
        cuts = np.minimum(np.cumsum([0, *sizes]), sound.frames)
        chunks = (Audio.of(sound.data[:, a:b], sound.rate) for a, b in itertools.pairwise(cuts) if b > a)
        pieces = [piece.data for piece in node.stream(None, inputs, chunks, Context("a", tmp_path))]
        assert np.array_equal(np.concatenate(pieces, axis=1), whole)
        assert len(pieces) > 3


def test_the_first_piece_needs_only_the_first_second(speech, tmp_path):
    requested = []

    def arriving():
        for at in range(0, speech.frames, 2205):
            requested.append(at / speech.rate)
            yield Audio.of(speech.data[:, at : at + 2205], speech.rate)

    first = next(World(semitones=2).stream(None, {}, arriving(), Context("a", tmp_path)))
    assert first.seconds <= 1.0
    assert requested[-1] <= 1.2


def test_a_rate_that_changes_on_the_way_is_refused(tmp_path):
    chunks = iter([Audio.of(np.ones(8000), 16000), Audio.of(np.ones(8000), 8000)])
    with pytest.raises(TaskFailed, match="16000 to 8000 Hz"):
        list(World(semitones=2).stream(None, {}, chunks, Context("a", tmp_path)))
