"""RMVPE, the pitch tracker most RVC voices are used with: its network, and a whole track through it in bounded memory.

The network is a U-Net over the mel spectrogram and a recurrent layer over all of its frames. The U-Net holds 5.8 MB a second.
Its two halves see 2.5 and 3.1 s to each side, its innermost levels 10 s more, but those hold hardly anything, being 32 times
shorter. So the way down goes over windows, the innermost levels over the whole track, and then each window down again and
up, for what the way up needs of the way down. The recurrent layer goes over the windows forwards and then backwards, and what
it has heard from both sides is read at once. The result is that of the whole in every case.
"""
# ruff: noqa: D101, D102 - a part of a network says what it is; its forward is its definition

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as fn

from nodes.loading.checkpoint import load_module, read_checkpoint
from nodes.loading.faults import reading
from pipelines.schema.errors import TaskFailed

RATE, HOP = 16000, 160
_FFT, _MELS, _BINS, _LEVELS, _INNER, _BLOCKS = 1024, 128, 360, 5, 4, 4
#: Frames that pool to one; frames of a window, and around it that the way down, and down and up, depend on.
_ALIGN, _WINDOW, _DOWN, _BOTH = 32, 2048, 256, 576
#: Under this the frame is unvoiced; cents of the first bin over 10 Hz, and between two.
_THRESHOLD, _FIRST, _CENTS = 0.03, 1997.3794084376191, 20.0


def load_rmvpe(path: Path, device: str, dtype: torch.dtype | None = None) -> Rmvpe:
    """The network with the weights of `rmvpe.pt`. Raises `TaskFailed` where it is missing or another network's."""
    if not path.is_file():
        raise TaskFailed(
            f"There is no {path}, which pitch: rmvpe needs. Put rmvpe.pt there or choose pitch: crepe or swift_f0."
        )
    with reading(f"{path}", "It is not a checkpoint of RMVPE."):
        state = read_checkpoint(path)
        channels = state["cnn.weight"].shape[1]
        return load_module(lambda: Rmvpe(channels), state, device, dtype)


@torch.inference_mode()
def track(network: Rmvpe, samples: NDArray[np.float32], window: int = _WINDOW) -> NDArray[np.float64]:
    """Hz every 10 ms, 1 + n // 160 frames, 0 where unvoiced, of float32 `samples` at 16,000 Hz."""
    mel = _mel(samples)
    frames = mel.shape[-1]
    mel = fn.pad(mel, (0, -frames % _ALIGN), mode="reflect" if frames > _ALIGN else "replicate").to(network.cnn.weight)
    total, unet = mel.shape[-1], network.unet
    spans = [(0, total)] if total <= window + 2 * _BOTH else list(_spans(total, window))
    bottoms = []
    for start, stop in spans if len(spans) > 1 else ():
        a, b = max(start - _DOWN, 0), min(stop + _DOWN, total)
        bottoms.append(unet.down(_image(mel[..., a:b]))[0][:, :, (start - a) // _ALIGN : (stop - a) // _ALIGN])
    inner = unet.inner(torch.cat(bottoms, dim=2)) if bottoms else None
    parts = []
    for start, stop in spans:
        a, b = max(start - _BOTH, 0), min(stop + _BOTH, total)
        bottom, seen = unet.down(_image(mel[..., a:b]))
        deepest = unet.inner(bottom) if inner is None else inner[:, :, a // _ALIGN : b // _ALIGN]
        parts.append(network.salient(unet.up(deepest, seen))[:, start - a : stop - a])
    return np.concatenate(list(_read(network.fc, parts))[::-1])[:frames]


def _read(layers: nn.Sequential, parts: list[Tensor]) -> Iterator[NDArray[np.float64]]:
    """Hz of each of `parts` [1, frames, 3 * mels], which are used up, the last first."""
    both = cast("Both", layers[0])
    forwards, state = list[Tensor](), both.silence(parts[0])
    for part in parts:
        output, state = both.one_way(part, state)
        forwards.append(output)
    state = both.silence(parts[0])
    while parts:
        output, state = both.one_way(parts.pop().flip(1), state, "_reverse")
        salience = layers[1:](torch.cat([forwards.pop(), output.flip(1)], dim=-1))
        yield _hertz(salience[0].float().cpu().numpy())


def _spans(total: int, window: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + window, total)) for start in range(0, total, window))


def _image(mel: Tensor) -> Tensor:
    """[1, 1, frames, mels] of a mel spectrogram [1, mels, frames]."""
    return mel.transpose(1, 2)[:, None]


def _mel(samples: NDArray[np.float32]) -> Tensor:
    """Log mel spectrogram [1, mels, frames]."""
    from torchaudio.functional import melscale_fbanks  # librosa's to 1e-6, without its compiler's seconds and bytes

    bank = melscale_fbanks(_FFT // 2 + 1, 30.0, 8000.0, _MELS, RATE, norm="slaney", mel_scale="htk").T
    window, sound = torch.hann_window(_FFT), torch.from_numpy(np.ascontiguousarray(samples, np.float32))[None]
    around, made = fn.pad(sound[None], (_FFT // 2, _FFT // 2), mode="reflect")[0], []
    for start, stop in _spans(1 + sound.shape[-1] // HOP, _WINDOW):
        part = around[:, start * HOP : (stop - 1) * HOP + _FFT]
        spectrum = torch.stft(part, _FFT, HOP, _FFT, window, center=False, return_complex=True).abs()
        made.append(torch.log(torch.clamp(bank @ spectrum, min=1e-5)))
    return torch.cat(made, dim=-1)


def _hertz(salience: NDArray[np.float32]) -> NDArray[np.float64]:
    """The mean of nine bins around the most salient, weighed by salience."""
    best = salience.argmax(axis=1)
    near = best[:, None] + np.arange(-4, 5)
    inside = (near >= 0) & (near < _BINS)
    weight = np.where(inside, np.take_along_axis(salience, np.clip(near, 0, _BINS - 1), axis=1), 0).astype(np.float64)
    cents = (weight * (_FIRST + _CENTS * near)).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-12)
    found: NDArray[np.float64] = np.where(salience.max(axis=1) > _THRESHOLD, 10 * 2 ** (cents / 1200), 0.0)
    return found


class Rmvpe(nn.Module):
    """Mel frames to salience of pitch bins. `channels` of the first level are 16 in the published weights."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.unet = UNet(channels)
        self.cnn = nn.Conv2d(channels, 3, 3, padding=1)
        self.fc = nn.Sequential(Both(3 * _MELS, 256), nn.Linear(512, _BINS), nn.Identity(), nn.Sigmoid())

    def salient(self, x: Tensor) -> Tensor:
        """[1, frames, 3 * mels] of what the U-Net made."""
        return self.cnn(x).transpose(1, 2).flatten(-2)  # type: ignore[no-any-return]


class Both(nn.Module):
    """A recurrent layer in both directions."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.gru = nn.GRU(inputs, hidden, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.gru(x)[0]
        return out

    def silence(self, x: Tensor) -> Tensor:
        """The state before anything was heard."""
        return x.new_zeros(1, 1, self.gru.hidden_size)

    def one_way(self, x: Tensor, state: Tensor, direction: str = "") -> tuple[Tensor, Tensor]:
        """What is heard of `x` in one direction, after `state`, and the state then."""
        gru = self.gru
        weights = [getattr(gru, f"{name}_l0{direction}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # cuDNN would have all weights in one block; half of them are not
            output, state = torch.gru(x, state, weights, True, 1, 0.0, False, False, True)
        return output, state


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(*_normed(inputs, outputs), *_normed(outputs, outputs))
        if inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.conv(x) + (self.shortcut(x) if hasattr(self, "shortcut") else x)
        return made


def _normed(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()


class Level(nn.Module):
    """Blocks of one level on the way down."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.ModuleList(Block(inputs if i == 0 else outputs, outputs) for i in range(_BLOCKS))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.conv:
            x = block(x)
        return x


class Down(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(1)
        widths = [1, *(channels * 2**i for i in range(_LEVELS))]
        self.layers = nn.ModuleList(Level(a, b) for a, b in itertools.pairwise(widths))


class Inner(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Level(inputs if i == 0 else outputs, outputs) for i in range(_INNER))


class Rise(nn.Module):
    """Doubles the size, joins what was seen on the way down."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        up = nn.ConvTranspose2d(inputs, outputs, 3, 2, padding=1, output_padding=1, bias=False)
        self.conv1 = nn.Sequential(up, nn.BatchNorm2d(outputs), nn.ReLU())
        self.conv2 = nn.ModuleList(Block(outputs * 2 if i == 0 else outputs, outputs) for i in range(_BLOCKS))

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        x = torch.cat([self.conv1(x), seen], dim=1)
        for block in self.conv2:
            x = block(x)
        return x


class Up(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Rise(inputs // 2**i, inputs // 2 ** (i + 1)) for i in range(_LEVELS))


class UNet(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        deepest = channels * 2 ** (_LEVELS - 1)
        self.encoder, self.intermediate, self.decoder = Down(channels), Inner(deepest, 2 * deepest), Up(2 * deepest)

    def down(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The deepest level's input, and what was seen at each level on the way to it."""
        seen, x = [], self.encoder.bn(x)
        for level in self.encoder.layers:
            seen.append(level(x))
            x = fn.avg_pool2d(seen[-1], 2)
        return x, seen

    def inner(self, x: Tensor) -> Tensor:
        """The deepest levels."""
        for level in self.intermediate.layers:
            x = level(x)
        return x

    def up(self, x: Tensor, seen: list[Tensor]) -> Tensor:
        """Back to the size of the input."""
        for rise in self.decoder.layers:
            x = rise(x, seen.pop())
        return x
