"""Spoken words made to sing a score: WORLD takes voice and pitch apart, time is stretched phoneme by phoneme, the pitch is ours.

As a singer does it, the vowel falls on the beat and the consonants before it are taken from the note before. So a note's true
start is its vowel's, a word's true start its first phoneme's. Not the melodies and not the accompaniment.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nodes.sample.speech import Phoneme, Spoken

Array = NDArray[np.float64]
#: WORLD's frame period, seconds.
HOP = 0.005
#: A run of consonants lasts at most this many seconds, and at most this share of the note it is taken from.
LONGEST_CLUSTER, _CONSONANT_SHARE = 0.16, 0.4

#: Power against a word's loudest frame below which nothing is counted as sung (-40 dB).
_AUDIBLE = 1e-4


@dataclass(frozen=True, slots=True)
class Tone:
    """One note to sing: seconds and a MIDI number. `held` where it continues the syllable before it."""

    start: float
    end: float
    midi: int
    held: bool


@dataclass(frozen=True, eq=False)
class Line:
    """A word's way through time: from `places` (seconds in the song) to `sources` (seconds in the spoken word), both ascending."""

    places: Array
    sources: Array
    spoken: Spoken

    @property
    def start(self) -> float:
        """When its first phoneme begins."""
        return float(self.places[0])

    @property
    def end(self) -> float:
        """When its last phoneme ends."""
        return float(self.places[-1])


@dataclass(frozen=True, eq=False)
class Sound:
    """WORLD's view of a spoken word, a row a frame of `HOP` seconds."""

    voiced: NDArray[np.bool_]
    envelope: Array
    aperiodicity: Array


def world() -> Any:
    """The module pyworld, without the warning that its own import of pkg_resources makes."""
    with warnings.catch_warnings():
        # pyworld asks pkg_resources for its version on import; setuptools warns that this module will go.
        warnings.simplefilter("ignore")
        import pyworld
    return pyworld


def syllables_in(phonemes: Sequence[Phoneme], count: int) -> list[tuple[float, float]]:
    """Where each of `count` syllables has its vowel, (start, end) in the spoken word's seconds.

    Vowels to spare are joined to their neighbour; where there are too few, the last one is shared out.
    """
    vowels = [(p.start, p.end) for p in phonemes if p.vowel]
    if not vowels:
        vowels = [(phonemes[0].start, phonemes[-1].end)]
    if len(vowels) < count:
        start, end = vowels.pop()
        edges = np.linspace(start, end, count - len(vowels) + 1)
        vowels += [(float(a), float(b)) for a, b in itertools.pairwise(edges)]
    groups = np.array_split(np.array(vowels), count)
    return [(float(g[0, 0]), float(g[-1, 1])) for g in groups]


def lay_out(spoken: Spoken, tones: Sequence[Tone], room_before: float, room_after: float) -> Line:
    """Where the phonemes of a word go. `room_before`/`room_after`: seconds free for consonants outside the notes, at most
    what `LONGEST_CLUSTER` needs."""
    nuclei = [t for t in tones if not t.held]
    ends = [t.start for t in nuclei[1:]] + [tones[-1].end]
    vowels = syllables_in(spoken.phonemes, len(nuclei))
    first, last = spoken.phonemes[0].start, spoken.phonemes[-1].end
    places = [nuclei[0].start - min(vowels[0][0] - first, LONGEST_CLUSTER, room_before)]
    sources = [first]
    for index, (tone, end, (begin, stop)) in enumerate(zip(nuclei, ends, vowels, strict=True)):
        after = vowels[index + 1][0] if index + 1 < len(vowels) else last
        spare = 0.0 if index + 1 < len(vowels) else room_after
        cluster = min(after - stop, LONGEST_CLUSTER, _CONSONANT_SHARE * (end - tone.start) + spare)
        places += [tone.start, end + spare - cluster]
        sources += [begin, stop]
    return _ascending([*places, ends[-1] + room_after], [*sources, last], spoken)


def _ascending(places: list[float], sources: list[float], spoken: Spoken) -> Line:
    """Without the points that do not move forward, which a word that begins or ends in a vowel has."""
    keep = [0]
    for index in range(1, len(places)):
        if places[index] > places[keep[-1]] + 1e-6:
            keep.append(index)
    return Line(np.array(places)[keep], np.array(sources)[keep], spoken)


def analyse(spoken: Spoken) -> Sound:
    """Envelope, aperiodicity and voicing of a spoken word. What a phoneme is decides before what WORLD hears, which finds
    pitch in the silence of a stop: vowels are voiced wherever they sound, voiceless consonants never."""
    pyworld = world()
    pitch, times = pyworld.harvest(spoken.samples, spoken.rate, f0_floor=60.0, f0_ceil=400.0, frame_period=HOP * 1000)
    pitch = _monotone(pitch, spoken.phonemes)
    envelope = pyworld.cheaptrick(spoken.samples, pitch, times, spoken.rate)
    # Threshold 0: what is voiced is decided already; d4c's own guess would make some vowels whisper.
    aperiodicity = pyworld.d4c(spoken.samples, pitch, times, spoken.rate, threshold=0.0)
    voiced = pitch > 0
    power = envelope.sum(axis=1)
    return Sound(voiced & (power > _AUDIBLE * power.max()), envelope, aperiodicity)


def _monotone(pitch: Array, phonemes: Sequence[Phoneme]) -> Array:
    """The tracked pitch of a voice known to speak on one note: strays brought back to it, vowels it lost given it."""
    base = float(np.median(pitch[pitch > 0])) if (pitch > 0).any() else 120.0
    mended = np.where((pitch > 0) & (np.abs(pitch / base - 1) > 0.15), base, pitch)
    for phoneme in phonemes:
        inside = slice(int(phoneme.start / HOP), int(phoneme.end / HOP) + 1)
        if phoneme.voiceless:
            mended[inside] = 0.0
        elif phoneme.vowel:
            mended[inside] = np.where(mended[inside] > 0, mended[inside], base)
    return mended


def pitch_curve(tones: Sequence[Tone], frames: int, seed: int) -> Array:
    """Hertz for every frame: the notes joined by glides, with vibrato that comes in late, and a slow drift of a few cents."""
    random = np.random.default_rng(seed)
    times = np.arange(frames) * HOP
    curve = np.full(frames, float(tones[0].midi))
    for before, tone in itertools.pairwise(tones):
        glide = random.uniform(0.05, 0.09)
        middle = tone.start - 0.25 * glide
        curve += (tone.midi - before.midi) / (1 + np.exp(np.clip(-8 * (times - middle) / glide, -60, 60)))
    rate, depth = random.uniform(4.8, 6.2), random.uniform(0.18, 0.38)
    for tone in tones:
        inside = (times >= tone.start) & (times < tone.end)
        into = times[inside] - tone.start
        fade = np.clip((into - 0.22) / 0.25, 0, 1) * np.clip((tone.end - times[inside]) / 0.05, 0, 1)
        curve[inside] += depth * fade * np.sin(2 * np.pi * rate * into)
        curve[inside] -= random.uniform(0.0, 0.5) * np.exp(-into / 0.025)
    knots = random.normal(0, 0.06, frames // 60 + 2)
    drift = np.interp(times, np.arange(len(knots)) * 60 * HOP, knots)
    hertz: Array = 440.0 * 2 ** ((curve + drift - 69) / 12)
    return hertz


def _loudness(tones: Sequence[Tone], frames: int) -> Array:
    """Gain per frame: a short swell at each note, a fall where a note ends in silence."""
    times = np.arange(frames) * HOP
    gain = np.ones(frames)
    for tone in tones:
        inside = (times >= tone.start) & (times < tone.end)
        gain[inside] *= 0.82 + 0.18 * np.minimum(1.0, (times[inside] - tone.start) / 0.08)
        gain[inside] *= np.clip((tone.end + 0.02 - times[inside]) / 0.08, 0.35, 1.0)
    return gain


def render(lines: Sequence[Line], tones: Sequence[Tone], seconds: float, rate: int, seed: int) -> tuple[Array, Array]:
    """The sung line: float64 [frames] at `rate` (espeak's), and the pitch in hertz per `HOP`, 0 where unvoiced."""
    frames = int(np.ceil(seconds / HOP))
    sounds = {id(line): analyse(line.spoken) for line in lines}
    bins = next(iter(sounds.values())).envelope.shape[1]
    envelope, aperiodicity = np.full((frames, bins), 1e-12), np.ones((frames, bins))
    pitch = np.zeros(frames)
    wanted = pitch_curve(tones, frames, seed)
    for line in lines:
        sound = sounds[id(line)]
        inside = np.arange(int(np.ceil(line.start / HOP)), min(int(line.end / HOP), frames))
        source = np.interp(inside * HOP, line.places, line.sources) / HOP
        low = np.clip(source.astype(int), 0, len(sound.voiced) - 2)
        part = np.clip(source - low, 0, 1)[:, None]
        envelope[inside] = np.exp((1 - part) * np.log(sound.envelope[low]) + part * np.log(sound.envelope[low + 1]))
        aperiodicity[inside] = (1 - part) * sound.aperiodicity[low] + part * sound.aperiodicity[low + 1]
        pitch[inside] = np.where(
            sound.voiced[np.rint(source).astype(int).clip(0, len(sound.voiced) - 1)], wanted[inside], 0.0
        )
    envelope *= _loudness(tones, frames)[:, None] ** 2
    samples: Array = world().synthesize(pitch, envelope, aperiodicity, rate, HOP * 1000)
    return samples, pitch
