"""XTTS latents to samples window by window, with the same result as vocoding them all at once.

The library vocodes everything again for every chunk it streams, which grows with the square of the length, and its chunks'
ends are heard without what follows. The vocoder is convolutional: a frame depends on 12.5 frames on each side, so a window
with `CONTEXT` frames around what is wanted gives the very same samples. The two interpolations before it are cheap and
do not align with windows (160 frames for 147), so they are done over all latents.

    latents   0 . . . . . . . . . N          interpolated x4, x160/147 -> frames
    frames    |----done----|======new======|--context--|   only `new` is given out, `context` waits
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from pipelines.schema.values import Samples

#: Vocoder frames on each side that a frame depends on, rounded up.
CONTEXT = 13


class Vocoder:
    """Takes latents as they come and gives samples as soon as nothing that follows can change them.

    decoder: the library's `HifiDecoder`. speaker: its speaker embedding, [1, 512, 1].
    """

    def __init__(self, decoder: Any, speaker: torch.Tensor) -> None:
        self._decoder, self._speaker = decoder, speaker
        self._latents: list[torch.Tensor] = []
        self._done = 0

    @property
    def hop(self) -> int:
        """Samples a frame."""
        return int(math.prod(layer.stride[0] for layer in self._decoder.waveform_decoder.ups))

    def push(self, latent: torch.Tensor) -> None:
        """Add the next latent, [1, channels]."""
        self._latents.append(latent.float())

    def take(self, ended: bool = False) -> Samples:
        """The samples that are final now, float32 [n]; all that are left where no latent follows."""
        import numpy as np
        import torch

        frames = self._frames()
        settled = frames.shape[-1] if ended else self._settled()
        last = settled if ended else settled - CONTEXT
        if last <= self._done:
            return np.zeros(0, np.float32)
        first = max(self._done - CONTEXT, 0)
        with torch.inference_mode():
            made = self._decoder.waveform_decoder(frames[..., first:settled], g=self._speaker)
        wanted = made[0, 0, (self._done - first) * self.hop : (last - first) * self.hop]
        self._done = last
        samples: Samples = wanted.float().cpu().numpy()
        return samples

    def _frames(self) -> torch.Tensor:
        """All latents at the vocoder's frame rate, [1, channels, frames]: what the library's `HifiDecoder.forward` makes."""
        from torch.nn.functional import interpolate

        decoder = self._decoder
        stacked = interpolate(
            _stack(self._latents),
            scale_factor=decoder.ar_mel_length_compression / decoder.output_hop_length,
            mode="linear",
        )
        if decoder.output_sample_rate == decoder.input_sample_rate:
            return stacked
        return interpolate(stacked, scale_factor=decoder.output_sample_rate / decoder.input_sample_rate, mode="linear")

    def _settled(self) -> int:
        """How many frames have both neighbours they are interpolated from among the latents that came."""
        decoder = self._decoder
        factor = decoder.ar_mel_length_compression / decoder.output_hop_length
        known = math.floor(
            (len(self._latents) - 1 + 0.5) * factor - 0.5
        )  # first index after this needs the next latent
        return max(int(known * decoder.output_sample_rate / decoder.input_sample_rate) - 1, 0)


def _stack(latents: list[torch.Tensor]) -> torch.Tensor:
    import torch

    return torch.stack(latents, dim=-1)
