"""The vocoder of an RVC voice and the sizes that shape it: HiFi-GAN driven by a sine at the pitch.

Its activations are by far the largest of all (35 MB a second at 48 kHz), so it goes over windows with as many frames around
them as a sample can depend on, which leaves every sample as it is.
"""
# ruff: noqa: D101, D102 - a part of a network says what it is; its forward is its definition

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

SLOPE = 0.1
#: Loudness of the sine, and of its noise where voiced.
_SINE, _BREATH = 0.1, 0.003


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes in a checkpoint's `config`, in its order but for training's; `features` is 256 (v1) or 768 (v2)."""

    inter: int
    hidden: int
    filter: int
    heads: int
    layers: int
    kernel: int
    resblock: str
    res_kernels: tuple[int, ...]
    res_dilations: tuple[tuple[int, ...], ...]
    rates: tuple[int, ...]
    up_channels: int
    up_kernels: tuple[int, ...]
    speakers: int
    gin: int
    rate: int
    features: int
    pitched: bool

    @property
    def hop(self) -> int:
        """Samples a frame of 10 ms."""
        return math.prod(self.rates)

    @property
    def context(self) -> int:
        """Frames on each side that a sample can depend on, rounded up."""
        reach, scale = 3.0, 1
        for rate, kernel in zip(self.rates, self.up_kernels, strict=True):
            reach += (kernel / rate / 2 + 1) / scale
            scale *= rate
            widest = max(
                sum((kernel - 1) // 2 * dilation + (kernel - 1) // 2 for dilation in dilations)
                for kernel, dilations in zip(self.res_kernels, self.res_dilations, strict=True)
            )
            reach += (widest + 2) / scale
        return math.ceil(reach + 4 / scale) + 1


class Vocoder(nn.Module):
    """HiFi-GAN whose every stage also hears a sine at the pitch."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        widths = [shape.up_channels // 2**i for i in range(len(shape.rates) + 1)]
        self.conv_pre = nn.Conv1d(shape.inter, widths[0], 7, padding=3)
        self.cond = nn.Conv1d(shape.gin, widths[0], 1)
        self.ups = nn.ModuleList(
            nn.ConvTranspose1d(a, b, kernel, rate, padding=(kernel - rate) // 2)
            for a, b, kernel, rate in zip(widths, widths[1:], shape.up_kernels, shape.rates, strict=False)
        )
        if shape.pitched:
            self.m_source = Source()
            strides = [math.prod(shape.rates[i + 1 :]) for i in range(len(shape.rates))]
            self.noise_convs = nn.ModuleList(_listener(w, s) for w, s in zip(widths[1:], strides, strict=True))
        kind = Residual1 if shape.resblock == "1" else Residual2
        self.each = len(shape.res_kernels)
        self.resblocks = nn.ModuleList(
            kind(width, kernel, dilations)
            for width in widths[1:]
            for kernel, dilations in zip(shape.res_kernels, shape.res_dilations, strict=True)
        )
        self.conv_post = nn.Conv1d(widths[-1], 1, 7, padding=3, bias=False)

    def forward(self, latent: Tensor, source: Tensor | None, voice: Tensor) -> Tensor:
        x = self.conv_pre(latent) + self.cond(voice)
        for i, up in enumerate(self.ups):
            x = up(fn.leaky_relu(x, SLOPE))
            if source is not None:
                x = x + self.noise_convs[i](source)
            blocks = self.resblocks[i * self.each : (i + 1) * self.each]
            x = sum((block(x) for block in blocks[1:]), blocks[0](x)) / self.each
        return torch.tanh(self.conv_post(fn.leaky_relu(x)))

    def windows(
        self, latent: Tensor, source: Tensor | None, voice: Tensor, window: int, shape: Shape
    ) -> Iterator[Tensor]:
        """What `forward` gives, [n] at a time, each window vocoded with its context and cut out."""
        frames, hop, around = latent.shape[-1], shape.hop, shape.context
        for first in range(0, frames, window):
            last = min(first + window, frames)
            a, b = max(first - around, 0), min(last + around, frames)
            excitation = None if source is None else source[..., a * hop : b * hop]
            yield self(latent[..., a:b], excitation, voice)[0, 0, (first - a) * hop : (last - a) * hop]


def _listener(width: int, stride: int) -> nn.Conv1d:
    """How a stage `stride` times slower than the sound hears the source."""
    return nn.Conv1d(1, width, 1) if stride == 1 else nn.Conv1d(1, width, 2 * stride, stride, padding=stride // 2)


class Source(nn.Module):
    """A sine at the pitch and some noise; noise alone where unvoiced."""

    def __init__(self) -> None:
        super().__init__()
        self.l_linear = nn.Linear(1, 1)

    def forward(self, hertz: Tensor, hop: int, rate: int, noise: torch.Generator) -> Tensor:
        """[1, 1, frames * hop] for `hertz` [1, frames]."""
        hertz = hertz[:, None].float()
        step = (hertz / rate) % 1
        turns = (
            fn.interpolate(torch.cumsum(step, -1) * hop, scale_factor=float(hop), mode="linear", align_corners=True) % 1
        )
        phase = step.repeat_interleave(hop, dim=-1)
        phase[..., 1:] -= (turns[..., 1:] < turns[..., :-1]).float()  # kept small: whole turns are not heard
        sine = torch.sin(torch.cumsum(phase, -1) * 2 * math.pi) * _SINE
        voiced = (hertz > 0).float().repeat_interleave(hop, dim=-1)
        breath = voiced * _BREATH + (1 - voiced) * _SINE / 3
        drawn = torch.randn(sine.shape, generator=noise, device=sine.device)
        excitation = (sine * voiced + breath * drawn).to(self.l_linear.weight.dtype)
        return torch.tanh(self.l_linear(excitation.transpose(1, 2))).transpose(1, 2)


class Residual1(nn.Module):
    def __init__(self, channels: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(_same(channels, kernel, dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(_same(channels, kernel, 1) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for first, second in zip(self.convs1, self.convs2, strict=True):
            x = x + second(fn.leaky_relu(first(fn.leaky_relu(x, SLOPE)), SLOPE))
        return x


class Residual2(nn.Module):
    def __init__(self, channels: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_same(channels, kernel, dilation) for dilation in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = x + conv(fn.leaky_relu(x, SLOPE))
        return x


def _same(channels: int, kernel: int, dilation: int) -> nn.Conv1d:
    return nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=(kernel - 1) // 2 * dilation)
