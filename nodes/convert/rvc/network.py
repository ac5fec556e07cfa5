"""The network that an RVC checkpoint holds weights for, inference only: text encoder, flow and vocoder.

Names of parts are those of the checkpoints' keys. What makes it different from the usual implementation is memory: attention
goes over blocks of queries and the vocoder over windows of frames. Neither changes a sample.
"""
# ruff: noqa: D101, D102 - a part of a network says what it is; its forward is its definition

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from nodes.convert.rvc.vocoder import SLOPE, Shape, Vocoder

#: Frames between which the encoder knows how far apart they are, and queries that attend at once.
_REACH, _QUERIES = 10, 512
#: Spread of the flow's noise.
_SPREAD = 0.66666


class Synthesizer(nn.Module):
    """Features and pitch in, samples out."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.enc_p = TextEncoder(shape)
        self.dec = Vocoder(shape)
        self.flow = Flow(shape)
        self.emb_g = nn.Embedding(shape.speakers, shape.gin)

    @torch.inference_mode()
    def convert(
        self, features: Tensor, pitch: tuple[Tensor, Tensor] | None, speaker: int, noise: torch.Generator, window: int
    ) -> Iterator[Tensor]:
        """Samples [n], `window` frames of 10 ms at a time.

        features: [1, frames, features]. pitch: (0..255 as long [1, frames], Hz [1, frames], 0 where unvoiced).
        """
        device = features.device
        voice = self.emb_g(torch.tensor([speaker], device=device))[..., None]
        mean, log_scale = self.enc_p(features, None if pitch is None else pitch[0])
        drawn = torch.randn(mean.shape, generator=noise, device=device, dtype=torch.float32).to(mean.dtype)
        latent = self.flow(mean + torch.exp(log_scale) * drawn * _SPREAD, voice)
        source = (
            None
            if pitch is None
            else self.dec.m_source(pitch[1], self.shape.hop, self.shape.rate, noise).to(mean.dtype)
        )
        yield from self.dec.windows(latent, source, voice, window, self.shape)


class TextEncoder(nn.Module):
    """A transformer over the features: mean and log scale of the latent, [1, inter, frames] each."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.emb_phone = nn.Linear(shape.features, shape.hidden)
        if shape.pitched:
            self.emb_pitch = nn.Embedding(256, shape.hidden)
        self.encoder = Encoder(shape)
        self.proj = nn.Conv1d(shape.hidden, shape.inter * 2, 1)

    def forward(self, features: Tensor, pitch: Tensor | None) -> tuple[Tensor, Tensor]:
        x = self.emb_phone(features)
        if pitch is not None:
            x = x + self.emb_pitch(pitch)
        x = fn.leaky_relu(x * math.sqrt(x.shape[-1]), SLOPE)
        mean, log_scale = self.proj(self.encoder(x.transpose(1, 2))).chunk(2, dim=1)
        return mean, log_scale


class Encoder(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        layers = range(shape.layers)
        self.attn_layers = nn.ModuleList(Attention(shape.hidden, shape.heads) for _ in layers)
        self.norm_layers_1 = nn.ModuleList(Norm(shape.hidden) for _ in layers)
        self.ffn_layers = nn.ModuleList(FeedForward(shape) for _ in layers)
        self.norm_layers_2 = nn.ModuleList(Norm(shape.hidden) for _ in layers)

    def forward(self, x: Tensor) -> Tensor:
        parts = zip(self.attn_layers, self.norm_layers_1, self.ffn_layers, self.norm_layers_2, strict=True)
        for attention, first, forward, second in parts:
            x = first(x + attention(x))
            x = second(x + forward(x))
        return x


class Norm(nn.Module):
    """Layer norm over channels of [1, channels, frames]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return fn.layer_norm(x.transpose(1, 2), self.gamma.shape, self.gamma, self.beta).transpose(1, 2)


class FeedForward(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.around = ((shape.kernel - 1) // 2, shape.kernel // 2)
        self.conv_1 = nn.Conv1d(shape.hidden, shape.filter, shape.kernel)
        self.conv_2 = nn.Conv1d(shape.filter, shape.hidden, shape.kernel)

    def forward(self, x: Tensor) -> Tensor:
        wide = torch.relu(self.conv_1(fn.pad(x, self.around)))
        narrow: Tensor = self.conv_2(fn.pad(wide, self.around))
        return narrow


class Attention(nn.Module):
    """Attention that also knows the distance of near frames, a block of queries at a time."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.conv_q, self.conv_k, self.conv_v, self.conv_o = (nn.Conv1d(channels, channels, 1) for _ in range(4))
        near = (1, 2 * _REACH + 1, channels // heads)
        self.emb_rel_k, self.emb_rel_v = nn.Parameter(torch.zeros(near)), nn.Parameter(torch.zeros(near))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (self._split(part(x)) for part in (self.conv_q, self.conv_k, self.conv_v))
        query = query / math.sqrt(query.shape[-1])
        blocks = [self._attend(query[:, a : a + _QUERIES], key, value, a) for a in range(0, query.shape[1], _QUERIES)]
        joined = torch.cat(blocks, dim=1).transpose(1, 2).reshape(1, -1, x.shape[-1])
        out: Tensor = self.conv_o(joined)
        return out

    def _split(self, x: Tensor) -> Tensor:
        """[1, channels, frames] -> [heads, frames, channels of a head]."""
        return x.reshape(self.heads, -1, x.shape[-1]).transpose(1, 2)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, first: int) -> Tensor:
        rows, columns, apart = _near(first, query.shape[1], key.shape[1], query.device)
        scores = query @ key.transpose(1, 2)
        scores[:, rows, columns] += (query @ self.emb_rel_k[0].T)[:, rows, apart]
        weights = torch.softmax(scores, dim=-1)
        near = weights.new_zeros(*query.shape[:2], 2 * _REACH + 1)
        near[:, rows, apart] = weights[:, rows, columns]
        return weights @ value + near @ self.emb_rel_v[0]


def _near(first: int, count: int, frames: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Index triples of near pairs: query (from 0), frame, and their distance's index, for queries from frame `first` on."""
    rows = torch.arange(count, device=device)[:, None]
    apart = torch.arange(2 * _REACH + 1, device=device)[None]
    columns = rows + first + apart - _REACH
    inside = (columns >= 0) & (columns < frames)
    return rows.expand_as(columns)[inside], columns[inside], apart.expand_as(columns)[inside]


class Flow(nn.Module):
    """Four coupling layers run backwards; between two, channels are in reverse order (odd indices hold no weights)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.flows = nn.ModuleList(part for _ in range(4) for part in (Coupling(shape), nn.Identity()))

    def forward(self, x: Tensor, voice: Tensor) -> Tensor:
        for layer in reversed(self.flows[::2]):
            x = layer(x.flip(1), voice)
        return x


class Coupling(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.pre = nn.Conv1d(shape.inter // 2, shape.hidden, 1)
        self.enc = Gated(shape.hidden, shape.gin)
        self.post = nn.Conv1d(shape.hidden, shape.inter // 2, 1)

    def forward(self, x: Tensor, voice: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=1)
        return torch.cat([first, second - self.post(self.enc(self.pre(first), voice))], dim=1)


class Gated(nn.Module):
    """Three gated convolutions with a skip from each, told whose voice it is."""

    def __init__(self, hidden: int, gin: int, layers: int = 3) -> None:
        super().__init__()
        self.cond_layer = nn.Conv1d(gin, 2 * hidden * layers, 1)
        self.in_layers = nn.ModuleList(nn.Conv1d(hidden, 2 * hidden, 5, padding=2) for _ in range(layers))
        last = layers - 1
        self.res_skip_layers = nn.ModuleList(
            nn.Conv1d(hidden, hidden * (1 if i == last else 2), 1) for i in range(layers)
        )

    def forward(self, x: Tensor, voice: Tensor) -> Tensor:
        conditions, skipped = self.cond_layer(voice).chunk(len(self.in_layers), dim=1), torch.zeros_like(x)
        for gate, out, mine in zip(self.in_layers, self.res_skip_layers, conditions, strict=True):
            shape, opening = (gate(x) + mine).chunk(2, dim=1)
            made = out(torch.tanh(shape) * torch.sigmoid(opening))
            if made.shape[1] > x.shape[1]:
                step, made = made.chunk(2, dim=1)
                x = x + step
            skipped = skipped + made
        return skipped
