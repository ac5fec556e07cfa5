"""The sound frame by frame, before notes are found in it: pitch, voicing, loudness and signs of an onset on one grid.

Pitch trackers differ in hop and in what their confidence means; everything after this module sees 10 ms frames and a voicing
in 0..1 whose threshold was found in the song itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nodes.audio.reading import mono_blocks
from pipelines.schema.values import Audio, Contour, Words

Array = NDArray[np.float64]
#: Seconds a frame.
HOP = 0.01
_RATE, _FFT, _BANDS = 16000, 640, 48
#: Mel bands lie between these; below is what is left of the bass, above what is left of the cymbals.
_LOW_HZ, _HIGH_HZ = 200.0, 5500.0
_QUIET_DB, _LOUD_DB = -26.0, -12.0
_STROKE = 12
#: An onset raises the spectrum by this much on average.
_LEAST_RISE_DB = 2.0


@dataclass(frozen=True, eq=False)
class Frames:
    """Arrays of one length, a frame every `HOP` seconds from 0. `midi` fractional MIDI numbers; the others 0..1.

    onset: how much a frame looks like the beginning of a vowel. loud: level against the song's loudest frames.
    """

    midi: Array
    voicing: Array
    loud: Array
    onset: Array

    def __len__(self) -> int:
        return len(self.midi)


def frames_of(contour: Contour, sound: Audio, words: Words) -> Frames:
    """Everything known of each frame. sound: the singing, or, less well, the mix it is in."""
    count = int(np.ceil(contour.times[-1] / HOP)) + 1 if len(contour.times) else 0
    if not count:
        return Frames(*(np.zeros(0) for _ in range(4)))
    nearest = _nearest(contour.times, np.arange(count, dtype=np.float64) * HOP)
    midi = 69 + 12 * np.log2(np.maximum(contour.hertz[nearest], 1.0) / 440)
    voicing = _gate(np.clip(np.nan_to_num(contour.confidence[nearest]), 0, 1))
    level, change = _spectral(sound, count)
    loud = np.clip((level - np.percentile(level, 95) - _QUIET_DB) / (_LOUD_DB - _QUIET_DB), 0, 1)
    return Frames(midi, voicing, _within_words(loud, voicing, words), _with_words(_peaks(change), words))


def _nearest(times: Array, wanted: Array) -> NDArray[np.intp]:
    """For each wanted time the index of the contour frame nearest to it."""
    if len(times) < 2:
        return np.zeros(len(wanted), dtype=np.intp)
    return np.asarray(np.searchsorted((times[1:] + times[:-1]) / 2, wanted), dtype=np.intp)


def _gate(confidence: NDArray[np.float64]) -> Array:
    """Confidence as voicing: a ramp around the threshold that parts the song's own confidences best (Otsu's)."""
    counts, edges = np.histogram(confidence, bins=64, range=(0, 1))
    middles = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)
    mass = np.cumsum(counts * middles)
    above = below[-1] - below
    between = np.where((below > 0) & (above > 0), 0.0, -1.0)
    valid = between == 0
    between[valid] = (mass[-1] * below[valid] - mass[valid] * below[-1]) ** 2 / (below[valid] * above[valid])
    threshold = float(np.clip(middles[int(np.argmax(between))], 0.2, 0.6))
    return np.clip((confidence - 0.5 * threshold) / threshold, 0, 1)


def _spectral(audio: Audio, count: int) -> tuple[Array, Array]:
    """Level in dB, and the rise of the spectrum against a little before, per frame; block by block, so memory stays small."""
    sound = _mono_16k(audio)
    step = int(_RATE * HOP)
    padded = np.concatenate(
        [np.zeros(_FFT // 2), sound, np.zeros(_FFT // 2 + step * max(count - len(sound) // step, 1))]
    )
    bands, window = _mel_bands(), np.hanning(_FFT)
    pieces = []
    for start in range(0, count, 2000):
        stop = min(start + 2000, count)
        rows = np.lib.stride_tricks.sliding_window_view(padded[start * step : (stop - 1) * step + _FFT], _FFT)[::step]
        pieces.append((np.abs(np.fft.rfft(rows * window)) ** 2 @ bands.T).astype(np.float64))
    power = np.concatenate(pieces)
    floor = 1e-6 * max(float(np.percentile(power, 99)), 1e-9)
    decibels = 10 * np.log10(power + 100 * floor)
    return 10 * np.log10(power.sum(axis=1) + floor), _rise(decibels)


def _rise(decibels: Array) -> Array:
    """Mean increase over the bands against 30 ms before, where neighbouring bands may have been louder (vibrato is no onset).

    Opened first: what swells for less than `_STROKE` frames, as a drum does, is taken away; steps and dips stay where they are.
    """
    from scipy.ndimage import grey_opening

    decibels = grey_opening(decibels, size=(_STROKE, 1))
    before = np.maximum.reduce([np.roll(decibels, shift, axis=1) for shift in (-1, 0, 1)])
    delayed = np.concatenate([before[:1].repeat(3, axis=0), before[:-3]]) if len(before) > 3 else before
    rise: Array = np.maximum(decibels - delayed, 0).mean(axis=1)
    return rise


def _mono_16k(audio: Audio) -> Array:
    """The whole sound at 16 kHz, resampled as it is read."""
    sound: Array = np.concatenate(list(mono_blocks(audio, "The sound to find notes in", _RATE))).astype(np.float64)
    return sound


def _mel_bands() -> Array:
    """Triangles of equal mel width, [bands, bins]. librosa is imported here too, but `tempo` of the same node needs it anyway."""
    from librosa.filters import mel

    bands: Array = mel(
        sr=_RATE, n_fft=_FFT, n_mels=_BANDS, fmin=_LOW_HZ, fmax=_HIGH_HZ, htk=True, norm=None, dtype=np.float64
    )
    return bands


def _peaks(change: Array) -> Array:
    """Changes as 0..1: what a strong onset of this song reaches is 1, and `_LEAST_RISE_DB` is needed for that; what is not the highest
    within 30 ms counts less."""
    scale = max(float(np.percentile(change, 97)), _LEAST_RISE_DB)
    around = np.maximum.reduce([np.roll(change, shift) for shift in range(-3, 4)])
    return np.clip(change / scale, 0, 1) * np.where(change >= around, 1.0, 0.5)


def _within_words(loud: Array, voicing: Array, words: Words) -> Array:
    """Less where no word is heard, as far as the words can be trusted: by how much of what is sung they cover."""
    if not words.words:
        return loud
    covered = np.zeros(len(loud), dtype=bool)
    for word in words.words:
        covered[max(int((word.start - 0.1) / HOP), 0) : max(int((word.end + 0.2) / HOP), 0)] = True
    sung = loud * voicing
    trust = float(np.clip((sung[covered].sum() / (sung.sum() + 1e-9) - 0.5) / 0.3, 0, 1))
    return np.where(covered, loud, loud * (1 - 0.6 * trust))


def _with_words(onset: Array, words: Words) -> Array:
    """A word's beginning makes an onset likelier near it: its vowel follows a consonant of commonly 50 ms."""
    times = np.arange(len(onset)) * HOP
    prior = np.zeros(len(onset))
    for word in words.words:
        near = slice(max(int((word.start - 0.2) / HOP), 0), max(int((word.start + 0.3) / HOP), 0))
        bump = np.exp(-0.5 * ((times[near] - word.start - 0.05) / 0.07) ** 2)
        prior[near] = np.maximum(prior[near], word.confidence * bump)
    return onset + 0.25 * prior
