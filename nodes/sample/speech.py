"""Words spoken by espeak-ng inside this process, with the time of every phoneme.

Each call of `speak` has a library of its own, so calls neither remember nor disturb one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nodes.speak.espeak.library import Mark, espeak

_WORDS_A_MINUTE = 120
_VOWELS, _VOICELESS = "aeiouAEIOUVQ03@", "ptkfsSTh"


@dataclass(frozen=True, slots=True)
class Phoneme:
    """One phoneme: espeak's mnemonic without stress marks, and seconds from the beginning of its word's sound."""

    name: str
    start: float
    end: float

    @property
    def vowel(self) -> bool:
        """Whether it can carry a note (vowels and syllabic consonants)."""
        return self.name[:1] in _VOWELS

    @property
    def voiceless(self) -> bool:
        """Whether the vocal cords rest during it."""
        return self.name[:1] in _VOICELESS


@dataclass(frozen=True, eq=False)
class Spoken:
    """A word's sound: float64 [frames] at `rate`, and its phonemes in order."""

    rate: int
    samples: NDArray[np.float64]
    phonemes: tuple[Phoneme, ...]


def speak(words: list[str], voice: str) -> list[Spoken]:
    """Each of `words` on its own, in a flat voice. `voice` is an espeak name such as `en-us+f3`; `TaskFailed` if unknown.

    The same words and voice give the same samples, in any process.
    """
    with espeak(marks=True) as library:
        library.choose(voice, _WORDS_A_MINUTE, spread=0)
        library.seed(1)
        spoken = [library.say_marked(word) for word in words]
        return [
            Spoken(library.rate, samples.astype(np.float64), _phonemes(marks, library.rate, len(samples)))
            for samples, marks in spoken
        ]


def _phonemes(marks: Sequence[Mark], rate: int, frames: int) -> tuple[Phoneme, ...]:
    """Marks as intervals, silences left out and stress marks taken off."""
    ends = [mark.frame for mark in marks[1:]] + [frames]
    named = [(mark.name.strip("',%=|"), mark.frame, end) for mark, end in zip(marks, ends, strict=True)]
    return tuple(
        Phoneme(name, start / rate, end / rate)
        for name, start, end in named
        if name and not name.startswith("_") and end > start
    )
