"""Short-time spectra of a long sound a few frames at a time, and back again. How many at a time changes only memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nodes.audio.reading import checked, folded
from pipelines.schema.values import Audio

Samples = NDArray[np.float32]
Spectra = NDArray[np.complex64]
#: Frames at once; they bound what is held.
_AT_ONCE = 128


class Spectrum:
    """Frames of `size` samples every quarter of it, the first centred on sample 0, under a Hann window."""

    def __init__(self, audio: Audio, what: str) -> None:
        self.audio, self.what = audio, what
        self.size = 1 << max(round(np.log2(0.093 * audio.rate)), 6)  # 93 ms: tells harmonics apart, follows a vibrato
        self.hop = self.size // 4
        self.frames = 1 + -(-audio.frames // self.hop)
        self.hertz = np.arange(self.size // 2 + 1) * (audio.rate / self.size)
        self._window = np.hanning(self.size + 1)[:-1].astype(np.float32)

    def pieces(self) -> Iterator[tuple[int, Spectra]]:
        """Index of the first frame, and the frames [channels, frames, bins]."""
        for first in range(0, self.frames, _AT_ONCE):
            count = min(_AT_ONCE, self.frames - first)
            samples = self._samples(first * self.hop - self.size // 2, (count - 1) * self.hop + self.size)
            views = np.lib.stride_tricks.sliding_window_view(samples, self.size, axis=1)[:, :: self.hop]
            yield first, np.fft.rfft(views * self._window, axis=2).astype(np.complex64)

    def _samples(self, start: int, count: int) -> Samples:
        """`count` samples from `start` on, zeros where the sound has not begun or has ended."""
        first, last = max(start, 0), min(start + count, self.audio.frames)
        samples = np.zeros((min(self.audio.channels, 2), count), np.float32)
        if first < last or not self.audio.frames:
            samples[:, first - start : last - start] = folded(checked(self.audio, self.what, first, last))
        return samples

    def sound(self, pieces: Iterator[Spectra]) -> Iterator[Samples]:
        """Pieces of one channel's frames [frames, bins] in order, as float32 [n]; joined they are as long as the audio."""
        tail, given, skip = np.zeros(self.size, np.float32), 0, self.size // 2
        for spectra in pieces:
            made = np.fft.irfft(spectra, self.size, axis=1).astype(np.float32) * (self._window / 1.5)
            summed = np.zeros(len(made) * self.hop + self.size - self.hop, np.float32)
            summed[: self.size - self.hop] = tail[: self.size - self.hop]
            for index, frame in enumerate(made):
                summed[index * self.hop : index * self.hop + self.size] += frame
            done, tail = summed[: len(made) * self.hop], summed[len(made) * self.hop :]
            done, skip = done[skip:], max(0, skip - len(done))
            done = done[: self.audio.frames - given]
            given += len(done)
            yield done
        yield tail[skip : skip + self.audio.frames - given]
