"""CREPE: the library's pitch from bounded batches, one decoding over all, true on sounds of known pitch."""

import numpy as np
import pytest
import soundfile

from nodes.pitch.crepe import Crepe
from pipelines.schema.errors import Interrupted, TaskFailed
from pipelines.schema.node import Context, Place
from pipelines.schema.values import Audio

RATE = 16000
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the library's imports
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(scope="module")
def model():
    return Crepe("tiny").load(Place())


def glide(seconds=1.2, low=200.0, high=300.0, rate=RATE):
    """A harmonic tone that rises, and its pitch at every sample."""
    times = np.arange(int(seconds * rate)) / rate
    hertz = low * (high / low) ** (times / seconds)
    phase = 2 * np.pi * np.cumsum(hertz) / rate
    return sum(np.sin(k * phase) / k for k in range(1, 6)).astype(np.float32) * 0.2, hertz


def run(model, audio, tmp_path, **knobs):
    return Crepe("tiny", **knobs).run(model, {"audio": audio}, Context("song", tmp_path))["contour"]


def test_a_glide_is_followed(model, tmp_path):
    sound, hertz = glide()
    found = run(model, Audio.of(sound, RATE), tmp_path)
    assert np.allclose(np.diff(found.times), 0.01)
    truth = hertz[np.minimum((found.times * RATE).astype(int), len(hertz) - 1)]
    inner = slice(5, -5)
    assert np.abs(1200 * np.log2(found.hertz / truth))[inner].max() < 35
    assert found.confidence[inner].min() > 0.5


@pytest.mark.slow
def test_the_library_s_own_answer(model, tmp_path, monkeypatch):
    import torch
    import torchcrepe

    monkeypatch.setattr(torchcrepe.convert, "dither", lambda cents: cents)  # it adds noise to every pitch
    random = np.random.default_rng(0)
    sound = glide()[0] + 0.02 * random.standard_normal(int(1.2 * RATE)).astype(np.float32)
    sound[6000:9000] = 0
    pitch, sure = torchcrepe.predict(
        torch.from_numpy(sound)[None], RATE, 160, 65.0, 1100.0, "tiny", return_periodicity=True
    )
    found = run(model, Audio.of(sound, RATE), tmp_path, low=65.0, high=1100.0)
    assert len(found.hertz) == pitch.shape[1]
    assert np.abs(1200 * np.log2(found.hertz / pitch[0].numpy())).max() < 0.01
    assert np.abs(found.confidence - sure[0].numpy()).max() < 1e-5
    del torchcrepe.infer.model, torchcrepe.infer.capacity


def test_the_batch_changes_nothing_and_the_library_s_globals_stay_unset(model, tmp_path):
    import torchcrepe

    sound = Audio.of(glide(0.6)[0], RATE)
    whole, small = run(model, sound, tmp_path, batch=500), run(model, sound, tmp_path, batch=7)
    assert np.array_equal(whole.hertz, small.hertz)
    assert np.allclose(whole.confidence, small.confidence, atol=1e-6)
    assert not hasattr(torchcrepe.infer, "model")


@pytest.mark.parametrize("seconds", [0.0001, 0.005, 0.01, 0.0317, 0.25])
def test_a_frame_every_step_from_zero(model, tmp_path, seconds):
    sound = glide(max(seconds, 1 / RATE))[0][: max(int(seconds * RATE), 1)]
    assert len(run(model, Audio.of(sound, RATE), tmp_path, batch=3).times) == 1 + len(sound) // 160


def test_a_file_at_another_rate(model, tmp_path):
    sound, hertz = glide(0.8, rate=44100)
    path = tmp_path / "voice.wav"
    soundfile.write(path, np.stack([sound, sound]).T, 44100, "FLOAT")
    found = run(model, Audio.open(path), tmp_path)
    truth = hertz[np.minimum((found.times * 44100).astype(int), len(hertz) - 1)]
    assert np.median(np.abs(1200 * np.log2(found.hertz / truth))) < 20


def test_silence_has_a_contour_of_no_confidence(model, tmp_path):
    found = run(model, Audio.of(np.zeros(RATE // 4), RATE), tmp_path)
    assert len(found.times) == 26
    assert (found.hertz > 0).all()
    assert found.confidence.max() < 0.3


def test_faults_are_sentences(model, tmp_path):
    with pytest.raises(TaskFailed, match="no samples"):
        run(model, Audio.of(np.zeros(0), RATE), tmp_path)
    with pytest.raises(TaskFailed, match="not numbers"):
        run(model, Audio.of(np.full(RATE, np.inf), RATE), tmp_path)
    (tmp_path / "tiny.pth").write_bytes(b"PK\x03\x04 and nothing else")
    for place in (tmp_path, tmp_path / "absent.pth"):
        with pytest.raises(TaskFailed, match="cannot be used"):
            Crepe("tiny").load(Place(weights=place))


def test_a_cancelled_task_stops_after_a_batch(model, tmp_path):
    steps = []
    context = Context("song", tmp_path, report=lambda done, _: steps.append(done), cancelled=lambda: len(steps) == 1)
    with pytest.raises(Interrupted):
        Crepe("tiny", batch=5).run(model, {"audio": Audio.of(glide(0.5)[0], RATE)}, context)
    assert len(steps) == 1
