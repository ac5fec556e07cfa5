"""Words spoken by espeak-ng inside this process, with the time of every phoneme. Not how they are sung.

Each call of `speak` has a library of its own, so calls neither remember nor disturb one another.
"""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PHONEME_EVENTS, _DONT_EXIT = 0x0001, 0x8000
_RATE_PARAMETER, _RANGE_PARAMETER, _WORDS_A_MINUTE = 1, 4, 120
_EVENT_PHONEME, _UTF8 = 7, 1
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


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique", ctypes.c_uint),
        ("position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@contextmanager
def _library() -> Iterator[tuple[Any, int]]:
    """A library started afresh, and its sample rate.

    A private copy of the file, because the phase of its oscillators lives in static variables that nothing but loading
    resets: otherwise the same word sounds a little different the second time.
    """
    import _ctypes

    import espeakng_loader

    with TemporaryDirectory(prefix="headroom-espeak-") as folder:
        library = ctypes.CDLL(shutil.copy(espeakng_loader.get_library_path(), folder))
        try:
            data = str(espeakng_loader.get_data_path()).encode()
            rate = int(library.espeak_Initialize(2, 0, data, _PHONEME_EVENTS | _DONT_EXIT))
            if rate <= 0:
                raise RuntimeError("espeak-ng could not start; reinstall the package espeakng-loader.")
            yield library, rate
            library.espeak_Terminate()
        finally:
            _ctypes.dlclose(library._handle)


def speak(words: list[str], voice: str) -> list[Spoken]:
    """Each of `words` on its own, in a flat voice. `voice` is an espeak name such as `en-us+f3`; ValueError if unknown.

    The same words and voice give the same samples, in any process.
    """
    with _library() as (library, rate):
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice!r}; `en-us+f3` and `en-us+m3` are two it has.")
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        library.espeak_SetParameter(_RATE_PARAMETER, _WORDS_A_MINUTE, 0)
        library.espeak_SetParameter(_RANGE_PARAMETER, 0, 0)
        return [_speak_one(library, rate, word) for word in words]


def _speak_one(library: Any, rate: int, word: str) -> Spoken:
    blocks: list[NDArray[np.int16]] = []
    marks: list[tuple[int, str]] = []

    def collect(wave: Any, count: int, events: Any) -> int:
        if wave and count > 0:
            blocks.append(np.ctypeslib.as_array(wave, (count,)).copy())
        index = 0
        while events[index].type != 0:
            if events[index].type == _EVENT_PHONEME:
                name = bytes(events[index].id.string).split(b"\0")[0].decode("utf-8", "replace")
                marks.append((int(events[index].sample), name.strip("',%=|")))
            index += 1
        return 0

    callback = _Callback(collect)
    library.espeak_SetSynthCallback(callback)
    text = word.encode()
    library.espeak_Synth(text, len(text) + 1, 0, 0, 0, _UTF8, None, None)
    library.espeak_Synchronize()
    samples = np.concatenate(blocks).astype(np.float64) / 32768 if blocks else np.zeros(0)
    return Spoken(rate, samples, _phonemes(marks, rate, len(samples)))


def _phonemes(marks: list[tuple[int, str]], rate: int, frames: int) -> tuple[Phoneme, ...]:
    """Marks as intervals, silences (`_...`) left out."""
    ends = [sample for sample, _ in marks[1:]] + [frames]
    return tuple(
        Phoneme(name, start / rate, end / rate)
        for (start, name), end in zip(marks, ends, strict=True)
        if name and not name.startswith("_") and end > start
    )
