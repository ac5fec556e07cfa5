"""The windowed vocoder gives the samples of the whole one, whenever it is asked. Fast: no library of speech is imported."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

from nodes.speak.xtts.vocoder import CONTEXT, Vocoder


class Generator(nn.Module):
    """Convolutions that reach exactly as far as the library's: 12.5 frames each side at 8 samples a frame."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv1d(4, 4, 2 * 6 + 1, padding=6)
        self.ups = nn.ModuleList([nn.ConvTranspose1d(4, 4, 8, 4, padding=2), nn.ConvTranspose1d(4, 4, 4, 2, padding=1)])
        self.last = nn.Conv1d(4, 1, 2 * 47 + 1, padding=47)

    def forward(self, x, g):
        x = self.first(x)
        for up in self.ups:
            x = up(torch.tanh(x))
        return torch.tanh(self.last(x) + g)


def decoder(output_rate=24000):
    torch.manual_seed(1)
    return SimpleNamespace(
        ar_mel_length_compression=1024, output_hop_length=256, input_sample_rate=22050, output_sample_rate=output_rate,
        waveform_decoder=Generator().eval(),
    )  # fmt: skip


def whole(made, latents):
    frames = interpolate(latents.T[None], scale_factor=4.0, mode="linear")
    if made.output_sample_rate != 22050:
        frames = interpolate(frames, scale_factor=made.output_sample_rate / 22050, mode="linear")
    with torch.inference_mode():
        return made.waveform_decoder(frames, torch.zeros(1, 1, 1))[0, 0].numpy()


@pytest.mark.parametrize("rate", [24000, 22050])
@pytest.mark.parametrize(("count", "every"), [(1, 1), (7, 3), (60, 1), (97, 20), (200, 33)])
def test_windows_joined_equal_the_whole(rate, count, every):
    made, latents = decoder(rate), torch.randn(count, 4)
    vocoder, pieces = Vocoder(made, torch.zeros(1, 1, 1)), []
    for index, latent in enumerate(latents):
        vocoder.push(latent[None])
        if index % every == every - 1:
            pieces.append(vocoder.take())
    joined = np.concatenate([*pieces, vocoder.take(ended=True)])
    expected = whole(made, latents)
    assert joined.shape == expected.shape
    assert np.abs(joined - expected).max() < 1e-6


def test_work_is_linear_in_the_length():
    """Frames vocoded, counted: four times the latents is four times the frames, context included."""
    work = []
    for count in (100, 400):
        made, frames = decoder(), []
        made.waveform_decoder.register_forward_pre_hook(lambda _, args, seen=frames: seen.append(args[0].shape[-1]))
        vocoder = Vocoder(made, torch.zeros(1, 1, 1))
        for index, latent in enumerate(torch.randn(count, 4)):
            vocoder.push(latent[None])
            if index % 20 == 19:
                vocoder.take()
        vocoder.take(ended=True)
        work.append(sum(frames))
        assert max(frames) <= 20 * 5 + 2 * CONTEXT
    assert work[1] / work[0] < 4.4
