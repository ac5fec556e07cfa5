"""A long sound at the rate and in the channels that a network wants, read forward in pieces that may overlap."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nodes.audio.reading import resampled_blocks
from pipelines.schema.values import Audio

Samples = NDArray[np.float32]
#: Seconds decoded and resampled at once.
_PIECE = 5.0


class ForwardReader:
    """`audio` at `rate` Hz with `channels` channels, as `resampled_blocks` makes them. what: its name in messages.

    Reads may overlap but not go back: samples that lie more than one read's length before the newest read are let go.
    """

    def __init__(self, audio: Audio, what: str, rate: int, channels: int) -> None:
        self._audio, self._what, self._rate, self._channels = audio, what, rate, channels
        self._pieces = self._read()
        self._held, self._first = np.zeros((channels, 0), np.float32), 0

    def survey(self) -> tuple[int, float, float]:
        """Frames, and mean and deviation of all channels' average, over the whole of it. Raises `TaskFailed` as `checked` does."""
        count, total, squares = 0, 0.0, 0.0
        for piece in self._read():
            average = piece.mean(axis=0, dtype=np.float64)
            count, total, squares = count + len(average), total + average.sum(), squares + (average**2).sum()
        mean = total / max(count, 1)
        variance = max(squares - count * mean**2, 0.0) / max(count - 1, 1)
        return count, float(mean), float(np.sqrt(variance)) + 1e-8

    def read(self, start: int, count: int) -> Samples:
        """`count` frames from `start` on, float32 [channels, count], zeros before the beginning and after the end."""
        while self._first + self._held.shape[1] < start + count:
            piece = next(self._pieces, None)
            if piece is None:
                break
            past = min(max(0, start - count - self._first), self._held.shape[1])
            self._held, self._first = np.concatenate([self._held[:, past:], piece], axis=1), self._first + past
        samples = np.zeros((self._channels, count), np.float32)
        first, last = max(start, self._first), min(start + count, self._first + self._held.shape[1])
        if first < last:
            samples[:, first - start : last - start] = self._held[:, first - self._first : last - self._first]
        return samples

    def _read(self) -> Iterator[Samples]:
        return resampled_blocks(self._audio, self._what, self._rate, self._channels, _PIECE)
