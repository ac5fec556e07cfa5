"""Whisper, on a model that recites: words with times out of windows, unloading that is true, folders that are not whole."""

import ctypes
import sys

import numpy as np
import pytest

from nodes.transcribe.stretches import Stretch
from nodes.transcribe.whisper import Whisper, _joined, _open_cublas
from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Context, Place
from pipelines.schema.values import Audio
from tests.checkpoints.whisper import make_whisper

RATE = 16000
WORDS = ("hello", "world", "this", "is", "a", "tiny", "song")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the libraries' imports
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_whisper(tmp_path_factory.mktemp("whisper") / "tiny", " ".join(WORDS))


@pytest.fixture(scope="module")
def sound():
    """Four seconds of noise, fifteen of silence, three of noise: two windows."""
    made = 0.1 * np.random.default_rng(0).standard_normal(RATE * 22)
    made[RATE * 4 : RATE * 19] = 0
    return made.astype(np.float32)


def run(folder, sound, tmp_path, rate=RATE, settings=None, **knobs):
    node = Whisper(**{"compute": "int8", "threads": 1, **knobs})
    model = node.load(Place(weights=folder))
    try:
        return node.run(model, {"audio": Audio.of(sound, rate)}, Context("song", tmp_path, settings or {}))["words"]
    finally:
        node.unload(model)
        assert not model.model.model.model_is_loaded


@pytest.mark.parametrize("knobs", [{}, {"batch": 2}, {"compute": "float16"}, {"beam": 1}])
def test_each_window_is_recited_in_its_own_time(folder, sound, tmp_path, knobs):
    words = run(folder, sound, tmp_path, **knobs)
    assert words.text.split() == list(WORDS) * 2
    assert words.language == "en"
    starts = [word.start for word in words.words]
    assert starts == sorted(starts)
    assert all(word.end <= after.start for word, after in zip(words.words, words.words[1:], strict=False))
    assert starts[0] < 5
    assert 18 < starts[len(WORDS)] < 22
    assert words == run(folder, sound, tmp_path, **knobs)


def test_windows_together_hear_what_they_hear_alone(folder, sound, tmp_path):
    alone, together = run(folder, sound, tmp_path), run(folder, sound, tmp_path, batch=4)
    assert [w.text for w in alone.words] == [w.text for w in together.words]
    assert np.allclose([w.start for w in alone.words], [w.start for w in together.words], atol=0.05)


def test_language_and_lyrics_are_hints(folder, sound, tmp_path):
    detected = run(folder, sound[: RATE * 3], tmp_path, settings={"language": "de", "lyrics": "hello world"})
    assert detected.language == "de"
    with pytest.raises(TaskFailed, match="no language 'xx'"):
        run(folder, sound, tmp_path, settings={"language": "xx"})


def test_silence_has_no_words(folder, tmp_path):
    assert run(folder, np.zeros(RATE * 2), tmp_path).words == ()


def test_noise_is_no_speech_to_silero(folder, sound, tmp_path):
    assert run(folder, sound, tmp_path, vad=True).words == ()


def test_eight_kilohertz_and_stereo(folder, tmp_path):
    sound = 0.1 * np.random.default_rng(1).standard_normal((2, 8000 * 2))
    assert run(folder, sound, tmp_path, rate=8000).text.split() == list(WORDS)


def test_sound_that_is_none(folder, tmp_path):
    with pytest.raises(TaskFailed, match="no samples"):
        run(folder, np.zeros(0), tmp_path)
    with pytest.raises(TaskFailed, match="not numbers"):
        run(folder, np.full(RATE, np.nan), tmp_path)


def test_folders_that_are_not_whole(folder, tmp_path):
    import shutil

    with pytest.raises(TaskFailed, match="none at"):
        Whisper().load(Place(weights=tmp_path / "nowhere"))
    part = shutil.copytree(folder, tmp_path / "part")
    (part / "tokenizer.json").unlink()  # the library would go and download one
    with pytest.raises(TaskFailed, match=r"no tokenizer\.json"):
        Whisper().load(Place(weights=part))
    torn = shutil.copytree(folder, tmp_path / "torn")
    (torn / "model.bin").write_bytes((folder / "model.bin").read_bytes()[:1000])
    with pytest.raises(TaskFailed, match="cannot be used"):
        Whisper().load(Place(weights=torn))
    bands = shutil.copytree(folder, tmp_path / "bands")
    (bands / "preprocessor_config.json").unlink()
    with pytest.raises(TaskFailed, match="128 mel bands"):
        Whisper().load(Place(weights=bands))


def test_on_a_card_cublas_is_opened_before_ctranslate2_looks_for_it(folder, tmp_path, monkeypatch):
    library, opened = tmp_path / "nvidia" / "cublas" / "lib" / "libcublas.so.12", []
    library.parent.mkdir(parents=True)
    library.touch()
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.setattr(ctypes, "CDLL", opened.append)
    _open_cublas()
    assert opened == [str(library)] or opened[0].endswith("site-packages/nvidia/cublas/lib/libcublas.so.12")

    def absent(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", absent)
    with pytest.raises(TaskFailed, match=r"libcublas\.so\.12.*nvidia-cublas-cu12"):
        Whisper().load(Place("cuda:0", folder))


def test_a_device_that_lacks_a_precision_or_fails_is_not_the_models_fault(folder, monkeypatch):
    monkeypatch.setattr("ctranslate2.get_supported_compute_types", lambda device, index: {"float32"})
    with pytest.raises(TaskFailed, match="cpu cannot compute in int8, only in float32"):
        Whisper(compute="int8").load(Place("cpu", folder))

    def fails(device, index):
        raise RuntimeError("CUDA failed with error CUDA driver version is insufficient for CUDA runtime version")

    monkeypatch.setattr("ctranslate2.get_supported_compute_types", fails)
    monkeypatch.setattr("nodes.transcribe.whisper._open_cublas", lambda: None)
    with pytest.raises(TaskFailed, match=r"cannot use cuda:0: CUDA failed.*insufficient"):
        Whisper().load(Place("cuda:0", folder))


def test_near_stretches_share_a_window():
    found = [Stretch(0, 5), Stretch(6, 12), Stretch(20, 25), Stretch(27, 45), Stretch(46, 50)]
    assert _joined(found) == [Stretch(0, 12), Stretch(20, 45), Stretch(46, 50)]
