"""RMVPE in windows equals RMVPE at once; its decoding is exact on a known answer."""

import numpy as np
import pytest
import torch

from nodes.convert.rmvpe import Rmvpe, _hertz, load_rmvpe, track
from pipelines.schema.errors import TaskFailed
from tests.checkpoints.rvc import make_rmvpe


def test_a_known_salience_is_read_exactly():
    salience = np.zeros((3, 360), np.float32)
    salience[0, 200] = 0.5
    salience[1, [100, 101]] = 0.4
    salience[2, 50] = 0.02
    cents = np.array([1997.3794084376191 + 20 * 200, 1997.3794084376191 + 20 * 100.5])
    assert _hertz(salience)[:2] == pytest.approx(10 * 2 ** (cents / 1200))
    assert _hertz(salience)[2] == 0


@pytest.mark.slow
def test_windows_change_nothing(tmp_path):
    torch.manual_seed(0)
    make_rmvpe(tmp_path / "rmvpe.pt", channels=2)
    network = load_rmvpe(tmp_path / "rmvpe.pt", "cpu")
    sound = np.random.default_rng(0).normal(size=50 * 16000).astype(np.float32) * 0.1
    whole, windows = track(network, sound, 1 << 20), track(network, sound, 1536)
    assert len(whole) == 1 + len(sound) // 160
    assert np.allclose(whole, windows, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("samples", [200, 5000, 16000])
def test_short_sounds_have_a_frame_every_ten_milliseconds(samples):
    torch.manual_seed(0)
    sound = np.random.default_rng(0).normal(size=samples).astype(np.float32)
    if samples < 513:
        sound = np.pad(sound, (0, 600 - samples))
    assert len(track(Rmvpe(2).eval(), sound)) == 1 + len(sound) // 160


def test_missing_and_foreign_files_are_named(tmp_path):
    with pytest.raises(TaskFailed, match=r"no .*rmvpe\.pt"):
        load_rmvpe(tmp_path / "rmvpe.pt", "cpu")
    torch.save({"x": torch.zeros(1)}, tmp_path / "rmvpe.pt")
    with pytest.raises(TaskFailed, match="not a checkpoint of RMVPE"):
        load_rmvpe(tmp_path / "rmvpe.pt", "cpu")
