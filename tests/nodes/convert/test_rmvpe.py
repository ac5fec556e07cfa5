"""RMVPE in windows equals RMVPE at once; its decoding is exact on a known answer."""

import numpy as np
import pytest
import torch

from nodes.convert.rvc.rmvpe import _DOWN, Rmvpe, _hertz, load_rmvpe, track
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
@pytest.mark.parametrize(("window", "seconds"), [(32, 13), (320, 26), (1024, 26)])
def test_windows_change_nothing(window, seconds, tmp_path):
    torch.manual_seed(0)
    make_rmvpe(tmp_path / "rmvpe.pt", channels=2)
    network = load_rmvpe(tmp_path / "rmvpe.pt", "cpu").double()
    sound = np.random.default_rng(0).normal(size=seconds * 16000 + 99).astype(np.float32) * 0.1
    whole, windows = track(network, sound, 1 << 20), track(network, sound, window)
    assert len(whole) == 1 + len(sound) // 160
    assert np.abs(windows / whole - 1).max() < 1e-9


@pytest.mark.slow
def test_the_contexts_are_what_the_network_depends_on():
    """In exact arithmetic, a frame changed just outside a context changes nothing inside it, and inside it may."""
    torch.manual_seed(0)
    unet = Rmvpe(1).double().eval().unet
    for part in unet.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.bias.data.fill_(3.0)  # keep every unit awake, so that no dependence hides
    image = torch.randn(1, 1, 64 * 32, 128, dtype=torch.float64)
    changed = image.clone()
    changed[:, :, 1024] += 10.0
    with torch.inference_mode():
        below = (unet.down(image)[0] - unet.down(changed)[0]).abs().amax(dim=(0, 1, 3)).nonzero().flatten() * 32
    assert below[0] >= 1024 - _DOWN
    assert below[-1] <= 1024 + _DOWN
    assert below[0] <= 1024 - 160


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
