"""XTTS on a tiny checkpoint of the genuine format: its samples are the library's, and bad input is a sentence."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch

from nodes.speak.xtts import Xtts
from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Context, Place, StreamNode
from pipelines.schema.values import Audio, Text
from tests.checkpoints.xtts import make_xtts, small_vocoder

# Importing coqui-tts takes up to 20 s; it and what it imports warn of their own deprecated calls.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("TTS.tts.models.xtts", reason="coqui-tts is not installed")
    with small_vocoder():
        return make_xtts(tmp_path_factory.mktemp("xtts"))


@pytest.fixture(scope="module")
def model(folder):
    with small_vocoder():
        return Xtts().load(Place("cpu", folder))


@pytest.fixture(scope="module")
def reference():
    times = np.arange(22050 * 2) / 22050
    return Audio.of(0.3 * np.sin(2 * np.pi * 180 * times) * (1 + np.sin(2 * np.pi * 3 * times)), 22050)


def say(model, text, tmp_path, node=None, voice=None, reported=None, seed=1, **settings):
    inputs = {"text": Text(text)} | ({"voice": voice} if isinstance(voice, Audio) else {})
    context = Context(
        "a",
        tmp_path,
        settings | ({"voice": voice} if isinstance(voice, str) else {}),
        seed=seed,
        warn=(reported if reported is not None else []).append,
    )
    return (node or Xtts()).run(model, inputs, context)


def test_samples_are_those_of_the_library(folder, model, reference, tmp_path):
    from TTS.tts.configs.xtts_config import XttsConfig
    from TTS.tts.models.xtts import Xtts as Library

    theirs = shutil.copytree(
        folder, tmp_path / "theirs"
    )  # it writes a published model.pth anew, which ours is mapped from
    config = XttsConfig()
    config.load_json(str(theirs / "config.json"))
    with small_vocoder():
        library = Library(config)
        library.load_checkpoint(config, checkpoint_dir=str(theirs), eval=True)
    audio = torch.from_numpy(reference.data)
    prompt = library.get_gpt_cond_latents(
        audio, 22050, length=config.gpt_cond_len, chunk_length=config.gpt_cond_chunk_len
    )
    speaker = library.get_speaker_embedding(audio, 22050)
    for seed, chunk in ((1, 3), (2, 20), (3, 7)):
        torch.manual_seed(seed)
        stream = library.inference_stream("hello my dear world", "en", prompt, speaker, stream_chunk_size=0)
        theirs = torch.cat(list(stream))
        ours = say(model, "Hello my dear world", tmp_path, Xtts(chunk=chunk), voice=reference, seed=seed)["audio"]
        assert ours.frames == len(theirs) > 5000
        assert np.abs(ours.data[0] - theirs.numpy()).max() < 1e-4


def test_the_same_seed_gives_the_same_samples_and_another_others(model, tmp_path):
    first, again = (say(model, "Hello. You there!", tmp_path, seed=4)["audio"].data for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(
        first[:, :2000], say(model, "Hello. You there!", tmp_path, seed=5)["audio"].data[:, :2000]
    )


def test_streaming_gives_the_samples_of_a_run_and_leaves_other_generators_alone(model, tmp_path):
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    inputs, context = {"text": Text("Hello. You there!")}, Context("a", tmp_path, seed=4)
    pieces = [piece.data[0] for piece in Xtts(chunk=4).stream(model, inputs, None, context)]
    whole = say(model, "Hello. You there!", tmp_path, Xtts(chunk=50), seed=4)["audio"].data[0]
    assert isinstance(Xtts(), StreamNode)
    assert len(pieces) > 3
    assert np.abs(np.concatenate(pieces) - whole).max() < 1e-5
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_voice_is_computed_once(folder, reference, tmp_path):
    with small_vocoder():
        model = Xtts().load(Place("cpu", folder))
    computed = []
    kept = model.network.get_speaker_embedding
    model.network.get_speaker_embedding = lambda *args: computed.append(1) or kept(*args)
    for text in ("One.", "Two."):
        say(model, text, tmp_path, voice=reference)
    assert len(computed) == 1
    say(model, "Three.", tmp_path, voice=Audio.of(reference.data * 0.5, 22050))
    assert len(computed) == 2


def test_speakers_of_the_weights_speak_by_name(model, tmp_path):
    reported = []
    first = say(model, "Hello", tmp_path, reported=reported)["audio"].data
    assert "'Ana' speaks" in reported[0]
    assert np.array_equal(first, say(model, "Hello", tmp_path, speaker="Ana")["audio"].data)
    assert not np.array_equal(first, say(model, "Hello", tmp_path, Xtts(speaker="Ben"))["audio"].data)
    with pytest.raises(TaskFailed, match=r"no speaker 'Anna'.*'Ana'"):
        say(model, "Hello", tmp_path, speaker="Anna")


@pytest.mark.parametrize(
    ("text", "settings", "voice", "named"),
    [
        ("", {}, None, "nothing that can be said"),
        ("😀 ...", {}, None, "nothing that can be said"),
        ("Hello", {"language": "xx"}, None, "does not speak 'xx'"),
        ("Hello", {}, Audio.of(np.zeros(22050), 22050), "silent or shorter"),
        ("Hello", {}, Audio.of(np.ones(2000), 22050), "silent or shorter"),
        ("Hello", {}, Audio.of(np.full(22050, np.nan), 22050), "not numbers"),
        ("Hello", {}, "/nowhere.wav", r"/nowhere\.wav cannot be read"),
    ],
)
def test_bad_input_is_refused_by_name(text, settings, voice, named, model, tmp_path):
    with pytest.raises(TaskFailed, match=named):
        say(model, text, tmp_path, voice=voice, **settings)


def test_of_ten_minutes_of_voice_only_the_beginning_is_heard(model, reference, tmp_path):
    detected = np.resize(reference.data, (1, int(model.network.config.max_ref_len * 22050)))
    rest = 0.1 * np.random.default_rng(1).standard_normal((1, 600 * 22050 - detected.shape[1]), np.float32)
    long = Audio.of(np.concatenate([detected, rest], axis=1), 22050)
    first, second = (
        say(model, "Hello.", tmp_path, voice=voice)["audio"].data for voice in (Audio.of(detected, 22050), long)
    )
    assert np.array_equal(first, second)


def test_texts_of_many_sentences_and_scripts_are_said(model, tmp_path):
    message = say(model, "Hello there. Привет! 123\n" + "word " * 80, tmp_path)
    assert [word.text[:5] for word in message["words"].words] == ["Hello", "word "]
    assert message["audio"].seconds == pytest.approx(message["words"].words[-1].end)


@pytest.mark.parametrize("name", ["model.pth", "vocab.json", "config.json"])
def test_missing_files_are_named(name, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "x")
    (tmp_path / "x" / name).unlink()
    with pytest.raises(TaskFailed, match=rf"no {name} in"):
        Xtts().load(Place("cpu", tmp_path / "x"))


def _truncate(path):
    path.write_bytes(path.read_bytes()[:100_000])


def _other_network(path):
    state = torch.load(path, weights_only=False)
    del state["model"]["gpt.mel_head.bias"]
    torch.save(state, path)


class _Runs:
    def __reduce__(self):
        return (print, ("a checkpoint ran code",))


@pytest.mark.parametrize(
    ("damage", "file"),
    [
        (_truncate, "model.pth"),
        (_other_network, "model.pth"),
        (lambda path: torch.save({"model": {}, "config": _Runs()}, path), "model.pth"),
        (lambda path: path.write_text("{}"), "vocab.json"),
        (lambda path: path.write_text(json.dumps({"model_args": 3})), "config.json"),
    ],
)
def test_damaged_files_are_refused_and_run_nothing(damage, file, folder, tmp_path, capsys):
    shutil.copytree(folder, tmp_path / "x")
    damage(tmp_path / "x" / file)
    with small_vocoder(), pytest.raises(TaskFailed, match="cannot be used"):
        Xtts().load(Place("cpu", tmp_path / "x"))
    assert "ran code" not in capsys.readouterr().out


@pytest.mark.parametrize(("language", "package"), [("zh", "pypinyin"), ("ja", "cutlet")])
def test_a_language_that_needs_a_package_names_it(language, package, model, reference, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(TaskFailed, match=rf"to read '{language}' .*{package}"):
        say(model, "abc", tmp_path, voice=reference, language=language)


def test_unload_lets_go(folder, undisturbed):
    import gc
    import weakref

    node = Xtts()
    with small_vocoder():
        model = node.load(Place("cpu", folder))
    network = weakref.ref(model.network)
    node.unload(model)
    gc.collect()
    assert network() is None
