"""Samples against infer-rvc-python, which is no requirement: its pins conflict with everything else here.

To run: `pip install --no-deps --target DIR infer-rvc-python==1.3.1 praat-parselmouth ffmpeg-python future`, then
HEADROOM_RVC_REFERENCE=DIR pytest tests/nodes/convert/test_rvc_reference.py
"""

import os
import sys

import numpy as np
import pytest
import torch

from nodes.convert.rvc import Rvc
from nodes.convert.rvc.pitch import coarse
from nodes.convert.rvc.rmvpe import load_rmvpe, track
from pipelines.schema.node import Context, Place
from pipelines.schema.values import Audio
from tests.checkpoints.rvc import CONFIG, make_index, make_rmvpe, make_rvc

# The reference and what it imports warn of their own deprecated calls.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def reference():
    folder = os.environ.get("HEADROOM_RVC_REFERENCE")
    if not folder:
        pytest.skip("HEADROOM_RVC_REFERENCE names no folder with infer-rvc-python in it (see this file's docstring)")
    sys.path.append(folder)
    return pytest.importorskip("infer_rvc_python.main", reason="infer-rvc-python cannot be imported")


@pytest.mark.parametrize(("version", "pitched", "resblock"), [("v2", True, "1"), ("v1", True, "2"), ("v2", False, "1")])
def test_samples_are_those_of_the_reference(version, pitched, resblock, reference, tmp_path, monkeypatch):
    pytest.importorskip("faiss")
    import infer_rvc_python.root_pipe as pipe

    config = [*CONFIG[:9], resblock, CONFIG[10], [[1, 3, 5][: 4 - int(resblock)]] * 2, *CONFIG[12:]]
    folder = make_rvc(tmp_path / "w", version=version, pitched=pitched, config=config)
    make_index(folder / "voice.index", 256 if version == "v1" else 768)
    times = np.arange(16000 * 3 + 123) / 16000
    sound = (0.15 * np.sin(2 * np.pi * 220 * times) * (1 + np.sin(2 * np.pi * 2 * times))).astype(np.float32)
    node = Rvc(envelope=1.0)
    model = node.load(Place("cpu", folder))
    ours = node.run(model, {"audio": Audio.of(sound, 16000)}, Context("a", tmp_path, seed=3))["audio"].data[0]

    def pitch(self, path, padded, *rest):
        hertz = track(model.pitch, np.asarray(padded, np.float32))
        return coarse(hertz), hertz.copy()

    converts = pipe.VC.vc

    def seeded(self, *args, **kwargs):
        torch.manual_seed(3)
        return converts(self, *args, **kwargs)

    monkeypatch.setattr(pipe.VC, "get_f0", pitch)
    monkeypatch.setattr(pipe.VC, "vc", seeded)
    monkeypatch.setattr(reference.BaseLoader, "_load_rmvpe", lambda self: None)
    monkeypatch.setattr(torch, "rand", torch.zeros)  # a random phase that the reference draws and then sets to zero
    loader = reference.BaseLoader(only_cpu=True, hubert_path=str(folder / "hubert"))
    loader.apply_conf(
        tag="v", file_model=str(folder / "voice.pth"), pitch_algo="rmvpe", pitch_lvl=0, file_index=str(folder / "voice.index"),
        index_influence=0.5, respiration_median_filtering=3, envelope_ratio=1.0, consonant_breath_protection=0.33,
    )  # fmt: skip
    theirs, rate = loader.generate_from_cache(audio_data=(sound, 16000), tag="v", reload=False)
    assert rate == 40000
    assert 0 <= len(ours) - len(theirs) < 3 * 400
    assert np.abs(ours[: len(theirs)] - theirs / 32768).max() < 1e-4


def test_pitch_is_that_of_the_reference(reference, tmp_path, monkeypatch):
    import infer_rvc_python.lib.rmvpe as library

    torch.manual_seed(0)
    make_rmvpe(tmp_path / "rmvpe.pt", channels=2)
    monkeypatch.setattr(library.E2E.__init__, "__defaults__", (5, 4, 1, 2))
    sound = np.random.default_rng(0).normal(size=3 * 16000 + 77).astype(np.float32) * 0.1
    theirs = library.RMVPE(str(tmp_path / "rmvpe.pt"), is_half=False, device="cpu").infer_from_audio(sound, 0.03)
    assert np.allclose(track(load_rmvpe(tmp_path / "rmvpe.pt", "cpu"), sound), theirs, rtol=1e-4)
