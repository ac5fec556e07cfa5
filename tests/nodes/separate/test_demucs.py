"""demucs: the library's own result, from a quarter of the networks, in pieces, and from folders that may be anybody's."""

import pickle
from fractions import Fraction

import numpy as np
import pytest
import soundfile

from nodes.separate.demucs import Demucs
from pipelines.schema.errors import Interrupted, TaskFailed
from pipelines.schema.node import Context, Place
from pipelines.schema.values import Audio
from tests.checkpoints.demucs import SIGNATURES, make_demucs

RATE = 8000

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # imports of demucs' own dependencies
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_demucs(tmp_path_factory.mktemp("demucs"), segment=Fraction(1), rate=RATE)


@pytest.fixture(scope="module")
def mix():
    random = np.random.default_rng(0)
    return (0.2 * random.standard_normal((2, int(RATE * 3.3))) + 0.01).astype(np.float32)


def run(folder, audio, tmp_path, **knobs):
    node = Demucs(**knobs)
    model = node.load(Place(weights=folder))
    found = node.run(model, {"audio": audio}, Context("song", tmp_path))
    node.unload(model)
    return found


def library(folder, name, mix, overlap=0.25, segment=None):
    from demucs.api import Separator

    separator = Separator(name, folder, device="cpu", shifts=0, overlap=overlap, progress=False)
    if segment:
        for net in separator.model.models:
            net.segment = Fraction(segment)
    import torch

    return separator.separate_tensor(torch.from_numpy(mix), RATE)[1]["vocals"].numpy()


@pytest.mark.parametrize(
    ("name", "overlap"), [("htdemucs_ft", 0.25), ("blend", 0.25), ("htdemucs", 0.6), ("htdemucs", 0.0)]
)
def test_the_result_is_the_library_s(folder, mix, tmp_path, name, overlap):
    found = run(folder, Audio.of(mix, RATE), tmp_path, name=name, overlap=overlap)
    wanted = library(folder, name, mix, overlap)
    assert np.abs(wanted).max() > 0.01
    assert np.abs(found["vocals"].read() - wanted).max() < 1e-5
    assert np.abs(found["vocals"].read() + found["instrumental"].read() - mix).max() < 1e-6


def test_a_shorter_segment_is_set_in_the_network(folder, mix, tmp_path):
    found = run(folder, Audio.of(mix, RATE), tmp_path, name="htdemucs", segment=0.5)
    assert np.abs(found["vocals"].read() - library(folder, "htdemucs", mix, segment="0.5")).max() < 1e-5


def test_only_the_network_of_the_stem_is_loaded(tmp_path, mix):
    lone = make_demucs(tmp_path / "lone", segment=Fraction(1), rate=RATE, stems=["vocals"])
    model = Demucs(name="htdemucs_ft").load(Place(weights=lone))
    assert len(model.parts) == 1
    assert not any(p.requires_grad for p in model.parts[0].net.parameters())


def test_a_network_in_torch_hub_s_cache_needs_no_list_beside_it(folder, tmp_path):
    made = make_demucs(tmp_path / "hub", segment=Fraction(1), rate=RATE, stems=["vocals"])
    for listing in made.glob("*.yaml"):
        listing.unlink()
    (network,) = made.glob("*.th")
    network.rename(made / f"04573f0d-{network.stem.partition('-')[2]}.th")  # as htdemucs_ft's own is called
    model = Demucs(name="htdemucs_ft").load(Place(weights=made))
    assert len(model.parts) == 1


def test_safetensors_as_the_hub_has_them(folder, mix, tmp_path):
    other = make_demucs(tmp_path / "hub", form="safetensors", segment=Fraction(1), rate=RATE)
    a = run(folder, Audio.of(mix, RATE), tmp_path / "a", name="htdemucs_ft")["vocals"].read()
    b = run(other, Audio.of(mix, RATE), tmp_path / "b", name="htdemucs_ft")["vocals"].read()
    assert np.abs(a - b).max() < 5e-3  # .th files hold half precision


def test_a_file_read_in_blocks_gives_what_an_array_gives(folder, mix, tmp_path):
    path = tmp_path / "mix.wav"
    soundfile.write(path, mix.T, RATE, "FLOAT")
    a = run(folder, Audio.open(path), tmp_path / "a")["vocals"].read()
    b = run(folder, Audio.of(mix, RATE), tmp_path / "b")["vocals"].read()
    assert np.array_equal(a, b)


@pytest.mark.parametrize(
    ("rate", "channels", "seconds"), [(RATE, 1, 1.7), (11025, 2, 1.2), (RATE, 2, 0.1), (4000, 3, 2.2)]
)
def test_other_rates_channels_and_lengths(folder, tmp_path, rate, channels, seconds):
    sound = 0.1 * np.random.default_rng(1).standard_normal((channels, int(rate * seconds)))
    found = run(folder, Audio.of(sound, rate), tmp_path)
    assert found["vocals"].channels == 2
    assert abs(found["vocals"].seconds - seconds) < 0.002
    assert np.isfinite(found["vocals"].read()).all()


def test_silence_stays_silent(folder, tmp_path):
    found = run(folder, Audio.of(np.zeros((2, RATE)), RATE), tmp_path)
    assert np.abs(found["vocals"].read()).max() < 1e-6


def test_a_cancelled_task_stops_between_segments(folder, mix, tmp_path):
    node = Demucs()
    steps = []
    context = Context("song", tmp_path, report=lambda done, _: steps.append(done), cancelled=lambda: len(steps) == 2)
    with pytest.raises(Interrupted):
        node.run(node.load(Place(weights=folder)), {"audio": Audio.of(mix, RATE)}, context)
    assert len(steps) == 2


def test_faults_are_sentences(folder, mix, tmp_path):
    with pytest.raises(TaskFailed, match="none at"):
        Demucs().load(Place(weights=tmp_path / "nowhere"))
    with pytest.raises(TaskFailed, match="no demucs network other"):
        Demucs(name="other").load(Place(weights=folder))
    with pytest.raises(TaskFailed, match="and not piano"):
        Demucs(stem="piano").load(Place(weights=folder))
    bad = mix.copy()
    bad[0, 5] = np.nan
    with pytest.raises(TaskFailed, match="not numbers"):
        run(folder, Audio.of(bad, RATE), tmp_path)
    with pytest.raises(TaskFailed, match="no samples"):
        run(folder, Audio.of(np.zeros((2, 0)), RATE), tmp_path)


def test_damage_is_noticed(tmp_path):
    folder = make_demucs(tmp_path, segment=Fraction(1), rate=RATE, stems=["drums"])
    (file,) = folder.glob(f"{SIGNATURES[0]}-*.th")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(TaskFailed, match="damaged"):
        Demucs(name="htdemucs").load(Place(weights=folder))
    file.write_bytes(b"")
    with pytest.raises(TaskFailed, match=r"cannot be used|damaged"):
        Demucs(name="htdemucs").load(Place(weights=folder))


class Trap:
    def __reduce__(self):
        return (open, ("trapped", "w"))


def test_a_pickle_that_would_run_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    import torch

    torch.save({"klass": Trap(), "args": (), "kwargs": {"sources": ["vocals"]}, "state": {}}, tmp_path / "evil.th")
    with pytest.raises(TaskFailed, match="cannot be used"):
        Demucs(name="evil").load(Place(weights=tmp_path))
    (tmp_path / "old.th").write_bytes(pickle.dumps({"klass": Trap()}))
    with pytest.raises(TaskFailed, match="cannot be used"):
        Demucs(name="old").load(Place(weights=tmp_path))
    assert not (tmp_path / "trapped").exists()
