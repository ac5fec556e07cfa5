"""A synthesised stereo accompaniment: bass and drums in the centre as in a real mix, chords panned wide."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nodes.sample.melodies import Sung

Array = NDArray[np.float64]
#: The lowest string of a bass guitar, E1.
_LOW_E = 28
_SCALE = (0, 2, 4, 5, 7, 9, 11)
#: Scale degrees (0 = tonic) of the triads that may harmonise a bar, the likelier first.
_DEGREES = (0, 3, 4, 5)


def harmony(notes: Sequence[Sung], tonic: int, meter: int, bars: int) -> list[tuple[int, int, int]]:
    """A triad of pitch classes for every bar: the one that the bar's melody lies on for longest; the last is the tonic's."""
    triads = [tuple((tonic + _SCALE[(degree + step) % 7]) % 12 for step in (0, 2, 4)) for degree in _DEGREES]
    chosen: list[tuple[int, int, int]] = []
    for bar in range(bars):
        weight = np.zeros(12)
        for note in notes:
            shared = min(note.beat + note.length, (bar + 1) * meter) - max(note.beat, bar * meter)
            weight[note.midi % 12] += max(shared, 0.0)
        scores = [sum(weight[c] for c in triad) - 0.01 * rank for rank, triad in enumerate(triads)]
        root, third, fifth = triads[int(np.argmax(scores))]
        chosen.append((root, third, fifth))
    chosen[-1] = (triads[0][0], triads[0][1], triads[0][2])
    return chosen


def _tone(hertz: float, seconds: float, rate: int, harmonics: int, decay: float) -> Array:
    """A plucked or struck tone: harmonics that fall off with their number, faster for the higher."""
    times = np.arange(int(seconds * rate)) / rate
    sound = sum(
        np.sin(2 * np.pi * hertz * k * times) * np.exp(-times * decay * (0.6 + 0.4 * k)) / k**1.3
        for k in range(1, harmonics + 1)
        if hertz * k < rate / 2
    )
    edges = np.minimum(1, np.minimum(times / 0.006, (seconds - times) / 0.03))
    shaped: Array = np.asarray(sound) * np.clip(edges, 0, 1)
    return shaped


def _drum(kind: str, rate: int, random: np.random.Generator) -> Array:
    times = np.arange(int(0.25 * rate)) / rate
    noise = random.normal(0, 1, len(times))
    if kind == "kick":
        struck: Array = np.sin(2 * np.pi * (48 * times + 3.2 * (1 - np.exp(-times * 30)))) * np.exp(-times * 16)
        return struck
    if kind == "snare":
        return 0.35 * noise * np.exp(-times * 22) + 0.4 * np.sin(2 * np.pi * 185 * times) * np.exp(-times * 26)
    return 0.3 * np.diff(noise, prepend=0.0) * np.exp(-times * 60)


def _add(track: Array, sound: Array, second: float, rate: int, gain: float) -> None:
    at = int(second * rate)
    end = min(at + len(sound), len(track))
    if at < end:
        track[at:end] += gain * sound[: end - at]


def accompany(
    chords: Sequence[tuple[int, int, int]], meter: int, bpm: float, seconds: float, rate: int, seed: int
) -> Array:
    """The band: float64 [2, frames] at `rate`, one chord a bar at `bpm`, from second 0."""
    random = np.random.default_rng(seed)
    beat, frames = 60 / bpm, int(seconds * rate)
    centre, sides = np.zeros(frames), np.zeros((2, frames))
    for bar, chord in enumerate(chords):
        start = bar * meter * beat
        for step in range(meter):
            now = start + step * beat
            low = chord[0] if step % 2 == 0 else chord[2]
            _add(centre, _tone(_hertz(_LOW_E + (low - _LOW_E) % 12), 0.95 * beat, rate, 6, 2.5), now, rate, 0.55)
            _add(centre, _drum("kick" if step % 2 == 0 else "snare", rate, random), now, rate, 0.7)
            for half in (0.0, 0.5):
                _add(centre, _drum("hat", rate, random), now + half * beat, rate, 0.5)
                voice = chord[int(random.integers(3))]
                _add(sides[0], _tone(_hertz(60 + voice), 0.6 * beat, rate, 5, 4.0), now + half * beat, rate, 0.22)
        for index, pitch in enumerate(chord):
            side, other = (0, 1) if index == 1 else (1, 0)
            pad = _tone(_hertz(48 + pitch, cents=4.0 * (index - 1)), meter * beat, rate, 4, 0.4)
            _add(sides[side], pad, start, rate, 0.30)
            _add(sides[other], pad, start + 0.011, rate, 0.04)
    mixed: Array = sides + centre
    return mixed


def _hertz(midi: float, cents: float = 0.0) -> float:
    return float(440.0 * 2 ** ((midi + cents / 100 - 69) / 12))
