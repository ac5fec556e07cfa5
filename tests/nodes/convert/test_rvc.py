"""RVC on tiny weights of the genuine formats: windows change no sample, every kind of voice loads, bad files are sentences."""

import shutil
import tracemalloc

import numpy as np
import pytest
import torch

from nodes.convert.rvc import network as rvc_network
from nodes.convert.rvc import node as rvc
from nodes.convert.rvc.features import features
from nodes.convert.rvc.model import Index, load_voice
from nodes.convert.rvc.node import Rvc, _cuts, _make_as_loud, _without_rumble
from nodes.convert.rvc.pitch import coarse
from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Context, Place
from pipelines.schema.values import Audio
from pipelines.stream.chain_nodes import cut_settings_for
from pipelines.stream.piecewise import piecewise
from tests.checkpoints.rvc import make_index, make_rvc

pytestmark = pytest.mark.slow


def tone(seconds, rate=16000, hertz=220.0):
    times = np.arange(int(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * hertz * times) * (1 + np.sin(2 * np.pi * 2 * times)) / 2).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_rvc(tmp_path_factory.mktemp("rvc"))


@pytest.fixture(scope="module")
def model(folder):
    return Rvc(pitch="swift_f0").load(Place("cpu", folder))


def convert(model, audio, tmp_path, node=None, reported=None, seed=1, **settings):
    context = Context("a", tmp_path, settings, seed=seed, warn=(reported if reported is not None else []).append)
    return (node or Rvc(pitch="swift_f0")).run(model, {"audio": audio}, context)["audio"]


def test_length_rate_and_samples_are_the_same_every_time(model, tmp_path):
    audio = Audio.of(np.stack([tone(1.234, 44100)] * 2), 44100)
    made = convert(model, audio, tmp_path)
    assert (made.rate, made.channels, made.frames) == (40000, 1, round(1.234 * 40000))
    assert 0.001 < np.abs(made.data).max() <= 1
    assert np.array_equal(made.data, convert(model, audio, tmp_path).data)
    assert not np.array_equal(made.data, convert(model, audio, tmp_path, seed=2).data)


def test_the_vocoders_windows_change_no_sample(model, tmp_path, monkeypatch):
    whole = convert(model, Audio.of(tone(2.5), 16000), tmp_path)
    monkeypatch.setattr(rvc, "_WINDOW", 31)
    assert np.abs(convert(model, Audio.of(tone(2.5), 16000), tmp_path).data - whole.data).max() < 1e-5


def test_blocks_of_queries_change_no_sample(model, tmp_path, monkeypatch):
    whole = convert(model, Audio.of(tone(1.5), 16000), tmp_path)
    monkeypatch.setattr(rvc_network, "_QUERIES", 17)
    assert np.abs(convert(model, Audio.of(tone(1.5), 16000), tmp_path).data - whole.data).max() < 1e-5


def test_the_vocoder_never_sees_more_than_a_window_and_its_context(model, tmp_path):
    seen = []
    network = model.choose("").network
    hook = network.dec.conv_pre.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-1]))
    convert(model, Audio.of(tone(15), 16000), tmp_path)
    hook.remove()
    assert max(seen) <= rvc._WINDOW + 2 * network.shape.context
    assert len(seen) >= 8


def test_windowed_features_are_those_of_transformers(folder, model):
    from transformers import HubertModel

    reference = HubertModel.from_pretrained(folder / "hubert").eval()
    sound = torch.from_numpy(tone(3.3))[None] + 0.01 * torch.randn(1, int(3.3 * 16000))
    with torch.inference_mode():
        expected = reference(sound).last_hidden_state
    for window in (7, 60, 10_000):
        found = features(model.hubert, sound, window)
        assert found.shape == expected.shape
        assert (found - expected).abs().max() < 1e-4


@pytest.mark.parametrize(("version", "pitched"), [("v1", True), ("v2", False), ("v1", False)])
def test_every_kind_of_checkpoint_converts(version, pitched, tmp_path):
    folder = make_rvc(tmp_path / "w", version=version, pitched=pitched)
    node = Rvc(pitch="rmvpe")
    made = convert(node.load(Place("cpu", folder)), Audio.of(tone(1), 16000), tmp_path, node)
    assert made.seconds == pytest.approx(1.0)
    assert np.abs(made.data).max() > 1e-3


def test_an_index_moves_features_toward_training(folder, tmp_path):
    pytest.importorskip("faiss", reason="faiss-cpu is not installed")
    shutil.copytree(folder, tmp_path / "w")
    make_index(tmp_path / "w" / "voice.index")
    model = Rvc(pitch="swift_f0").load(Place("cpu", tmp_path / "w"))
    audio = Audio.of(tone(1), 16000)
    without, half = (convert(model, audio, tmp_path, Rvc(pitch="swift_f0", index=share)) for share in (0.0, 0.5))
    plain = convert(Rvc(pitch="swift_f0").load(Place("cpu", folder)), audio, tmp_path)
    assert np.array_equal(without.data, plain.data)
    assert np.abs(half.data - without.data).max() > 1e-4
    vectors = model.voice.index.vectors
    assert np.abs(model.voice.index.near(vectors[:5]) - vectors[:5]).max() < 1e-3


def test_the_index_is_the_one_training_named_after_the_voice(folder, tmp_path):
    place = shutil.copytree(folder, tmp_path / "w")
    shutil.move(place / "voice.pth", place / "Ana [v2].pth")
    for name in ("trained_IVF4_Flat_nprobe_1_Ana [v2]_v2", "added_IVF4_Flat_nprobe_1_Diana [v2]_v2"):
        make_index(place / f"{name}.index", features=8)
    path = place / "Ana [v2].pth"
    assert load_voice(path, "cpu", torch.float32).index is None
    make_index(place / "added_IVF4_Flat_nprobe_1_Ana [v2]_v2.index")
    assert load_voice(path, "cpu", torch.float32).index.vectors.shape[1] == 768
    make_index(place / "added_IVF9_Flat_nprobe_1_Ana [v2]_v2.index")
    with pytest.raises(TaskFailed, match=r"added_IVF4.*added_IVF9.*Rename the right one to Ana \[v2\]\.index"):
        load_voice(path, "cpu", torch.float32)


def test_features_whose_part_of_the_index_is_empty_stay():
    import faiss

    near, far = np.eye(2, 4, dtype=np.float32), np.full((1, 4), 9, np.float32)
    quantiser = faiss.IndexFlatL2(4)
    quantiser.add(np.concatenate([near, far]))
    searcher = faiss.IndexIVFFlat(quantiser, 4, 3)
    searcher.train(np.concatenate([near, far]))
    searcher.add(near)
    found = Index(searcher, near).near(np.concatenate([near, far]))
    assert np.array_equal(found, np.concatenate([near, far]))


def test_a_row_may_name_its_voice_and_only_one_is_resident(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "w")
    make_rvc(tmp_path / "w", name="other", seed=9)
    audio = Audio.of(tone(0.5), 16000)
    with pytest.raises(TaskFailed, match="2 RVC voices"):
        Rvc(pitch="swift_f0").load(Place("cpu", tmp_path / "w"))
    model = Rvc(pitch="swift_f0", voice="voice").load(Place("cpu", tmp_path / "w"))
    hubert = model.hubert
    first = convert(model, audio, tmp_path, rvc_model="voice")
    other = convert(model, audio, tmp_path, rvc_model="other.pth")
    assert model.voice.name == "other"
    assert model.hubert is hubert
    assert not np.array_equal(first.data, other.data)
    with pytest.raises(TaskFailed, match=r"no RVC voice 'othr'.*'other'"):
        convert(model, audio, tmp_path, rvc_model="othr")


def test_silence_stays_silent_and_bad_sound_is_refused(model, tmp_path):
    reported = []
    quiet = convert(model, Audio.of(np.zeros(16000), 16000), tmp_path, reported=reported)
    assert quiet.seconds == 1.0
    assert not quiet.data.any()
    assert "silent" in reported[0]
    for samples, named in ((np.full(16000, np.nan), "not numbers"), (np.zeros(0), "no samples")):
        with pytest.raises(TaskFailed, match=named):
            convert(model, Audio.of(samples, 16000), tmp_path)
    with pytest.raises(TaskFailed, match="speakers 0 to 1"):
        convert(model, Audio.of(tone(0.5), 16000), tmp_path, Rvc(pitch="swift_f0", speaker=7))


class _Runs:
    def __reduce__(self):
        return (print, ("a checkpoint ran code",))


def _edit(path, change):
    found = torch.load(path, weights_only=True)
    change(found)
    torch.save(found, path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:5000]),
        lambda path: path.write_bytes(b""),
        lambda path: torch.save({"weight": _Runs()}, path),
        lambda path: torch.save([1, 2], path),
        lambda path: _edit(path, lambda found: found["weight"].pop("enc_p.proj.bias")),
        lambda path: _edit(path, lambda found: found.update(version="v9")),
        lambda path: _edit(path, lambda found: found.update(config=[1, 2])),
    ],
)
def test_damaged_voices_are_refused_and_run_nothing(damage, folder, tmp_path, capsys):
    path = shutil.copy(folder / "voice.pth", tmp_path / "voice.pth")
    damage(path)
    with pytest.raises(TaskFailed, match=r"The RVC voice .* cannot be used"):
        load_voice(path, "cpu", torch.float32)
    assert "ran code" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("gone", "named"), [("hubert/config.json", "no HuBERT"), ("rmvpe.pt", "rmvpe"), ("voice.pth", "0 RVC")]
)
def test_missing_files_are_named(gone, named, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "w")
    (tmp_path / "w" / gone).unlink()
    with pytest.raises(TaskFailed, match=named):
        Rvc(pitch="rmvpe").load(Place("cpu", tmp_path / "w"))


def test_an_absent_folder_is_named(tmp_path):
    with pytest.raises(TaskFailed, match="no RVC weights in"):
        Rvc().load(Place("cpu", tmp_path / "absent"))


def test_unload_lets_go(folder, undisturbed):
    import gc
    import weakref

    node = Rvc(pitch="rmvpe")
    model = node.load(Place("cpu", folder))
    parts = [weakref.ref(part) for part in (model.voice.network, model.hubert, model.pitch)]
    node.unload(model)
    gc.collect()
    assert [part() for part in parts] == [None] * 3


def test_chunks_are_cut_where_it_is_quiet_and_whole_feature_frames_apart():
    sound = np.random.default_rng(1).normal(size=100 * 16000).astype(np.float32)
    sound[int(36.5 * 16000) : int(36.6 * 16000)] = 0
    cuts = _cuts(sound, 38.0)
    assert cuts[0] == 0
    assert cuts[-1] == len(sound)
    assert abs(cuts[1] / 16000 - 36.55) < 0.06
    assert all(cut % 320 == 0 for cut in cuts[:-1])
    assert _cuts(sound[: 41 * 16000], 38.0) == [0, 41 * 16000]


def test_pitch_steps_are_even_over_the_mel_scale():
    steps = coarse(np.array([0.0, 10.0, 50.0, 220.0, 1100.0, 5000.0]))
    assert list(steps[[0, 1, 2, 4, 5]]) == [1, 1, 1, 255, 255]
    mel = 1127 * np.log(1 + np.array([50.0, 220.0, 1100.0]) / 700)
    assert steps[3] == round(1 + 254 * (mel[1] - mel[0]) / (mel[2] - mel[0]))


def test_loudness_follows_the_input():
    rate = 8000
    loud = np.concatenate([np.full(rate * 4, 0.5), np.full(rate * 4, 0.05)]).astype(np.float32)
    made, same = np.full(rate * 8, 0.2, np.float32), loud.copy()
    _make_as_loud(made, rate, np.repeat(loud, 2), 0.0)
    assert made[rate * 2] == pytest.approx(0.5, rel=0.02)
    assert made[rate * 6] == pytest.approx(0.05, rel=0.02)
    _make_as_loud(same, rate, np.repeat(loud, 2), 1.0)
    assert np.array_equal(same, loud)


def test_knobs_out_of_range_are_refused():
    with pytest.raises(ValueError, match="must be rmvpe"):
        Rvc(pitch="yin")
    with pytest.raises(ValueError, match="at least 12"):
        Rvc(segment=2)


def test_piece_by_piece_it_gives_as_much_sound_as_at_once(model, tmp_path):
    sound, node = tone(3.217, 22050), Rvc(pitch="swift_f0")
    whole = convert(model, Audio.of(sound, 22050), tmp_path, node)
    chunks = (Audio.of(sound[at : at + 15_000], 22050) for at in range(0, len(sound), 15_000))
    made = list(piecewise(lambda piece: convert(model, piece, tmp_path, node), chunks, cut_settings_for(node)))
    assert len(made) > 1
    assert sum(piece.frames for piece in made) == whole.frames
    assert {piece.rate for piece in made} == {whole.rate}


@pytest.mark.parametrize("length", [1600, 1 << 16, 200_001])
def test_rumble_is_taken_out_as_scipy_does_it_at_once(length):
    from scipy.signal import butter, filtfilt

    sound = np.random.default_rng(2).normal(0.1, 0.2, length).astype(np.float32)
    whole = filtfilt(*butter(N=5, Wn=48, btype="high", fs=16000), sound).astype(np.float32)
    assert np.array_equal(_without_rumble(sound), whole)  # the last bit may move a frame to another step of pitch


def test_what_is_done_to_a_whole_track_takes_little_more_than_what_it_makes():
    made = np.ones(8000 * 300, np.float32)
    for work, room in (
        (lambda: _make_as_loud(made, 8000, made[::2], 0.25), 0),
        (lambda: _without_rumble(made), 3),
        (lambda: _cuts(made, 38.0), 0),
    ):
        tracemalloc.start()
        try:
            work()
            assert tracemalloc.get_traced_memory()[1] < room * made.nbytes + (5 << 20)
        finally:
            tracemalloc.stop()
