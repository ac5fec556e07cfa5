"""espeak-ng by ctypes, one private copy of the library per use: sound, and where its phonemes begin. Not how a text is
cut into sentences, nor how words are sung.

The library keeps its state (voice, random numbers, the phase of its oscillators) in static variables that neither
initialising nor terminating resets, so the second call of a process never sounds like the first. A copy loaded from a file
of its own starts from nothing, shares nothing with other threads, and costs a millisecond.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.schema.errors import SurroundingsFailed, TaskFailed

if TYPE_CHECKING:
    from pipelines.schema.values import Samples

_RATE, _PITCH, _RANGE = 1, 3, 4
_SYNCHRONOUS, _PHONEME_EVENTS, _DONT_EXIT, _UTF8, _END_PAUSE = 2, 0x0001, 0x8000, 1, 0x1000
_EVENT_PHONEME = 7


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


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a phoneme begins: its frame, and espeak's mnemonic with its stress marks (`_...` is a silence)."""

    frame: int
    name: str


class Espeak:
    """A running library. `rate` in Hz."""

    def __init__(self, library: Any, rate: int) -> None:
        self._library, self.rate = library, rate

    def choose(self, voice: str, words_a_minute: int, pitch: int | None = None, spread: int | None = None) -> None:
        """Take a voice: a language code or a name such as `en-us+f3`. pitch, spread: 0..99, as the voice has them for None.

        Raises `TaskFailed` for a voice there is not.
        """
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise TaskFailed(
                f"espeak-ng has no voice or language {voice!r}. Set language= to a code such as en, de, fr or cmn, "
                "or the knob speaker to a name such as en-us+f3."
            )
        for parameter, value in ((_RATE, words_a_minute), (_PITCH, pitch), (_RANGE, spread)):
            if value is not None:
                self._library.espeak_SetParameter(parameter, value, 0)

    def seed(self, number: int) -> None:
        """Begin the library's random numbers (breath, noise) anew."""
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(number))

    def say(self, text: str) -> Samples:
        """Speech for `text`, float32 [frames] at `rate`, its closing pause included."""
        return self.say_marked(text, pause=True)[0]

    def say_marked(self, text: str, *, pause: bool = False) -> tuple[Samples, list[Mark]]:
        """Speech as `say` has it, with or without the closing pause; and its phonemes, where `espeak(marks=True)` made this."""
        import numpy as np

        blocks: list[Any] = []
        marks: list[Mark] = []

        def collect(wave: Any, count: int, events: Any) -> int:
            if wave and count > 0:
                blocks.append(np.ctypeslib.as_array(wave, (count,)).copy())
            marks.extend(_marks(events))
            return 0

        callback = _Callback(collect)
        self._library.espeak_SetSynthCallback(callback)
        data = text.encode()
        flags = _UTF8 | (_END_PAUSE if pause else 0)
        self._library.espeak_Synth(data, len(data) + 1, 0, 0, 0, flags, None, None)
        self._library.espeak_Synchronize()
        joined = np.concatenate(blocks) if blocks else np.zeros(0)
        return joined.astype(np.float32) / np.float32(32768), marks


def _marks(events: Any) -> Iterator[Mark]:
    index = 0
    while events[index].type != 0:
        if events[index].type == _EVENT_PHONEME:
            name = bytes(events[index].id.string).split(b"\0")[0]
            yield Mark(int(events[index].sample), name.decode("utf-8", "replace"))
        index += 1


@contextmanager
def espeak(*, marks: bool = False) -> Iterator[Espeak]:
    """A library of its own for the time of the block. marks: whether it tells where phonemes begin."""
    library = _private_copy()
    try:
        yield Espeak(library, _start(library, _DONT_EXIT | (_PHONEME_EVENTS if marks else 0)))
    finally:
        library.espeak_Terminate()
        _close(library)


def _private_copy() -> Any:
    import espeakng_loader

    source = Path(str(espeakng_loader.get_library_path()))
    try:
        with tempfile.TemporaryDirectory(prefix="headroom-", ignore_cleanup_errors=True) as folder:
            return ctypes.CDLL(str(shutil.copyfile(source, Path(folder) / source.name)))
    except OSError as error:
        raise SurroundingsFailed(
            f"espeak-ng cannot be loaded from the temporary folder ({error}). Point TMPDIR at one that can run libraries."
        ) from error


def _start(library: Any, options: int) -> int:
    import espeakng_loader

    folder = str(espeakng_loader.get_data_path()).encode()
    rate = int(library.espeak_Initialize(_SYNCHRONOUS, 0, folder, options))
    if rate <= 0:
        raise SurroundingsFailed("espeak-ng could not start; reinstall the package espeakng-loader.")
    return rate


def _close(library: Any) -> None:
    """Unmap the copy; where the system offers no `dlclose`, its megabyte stays until the process ends."""
    if os.name == "posix":
        ctypes.CDLL(None).dlclose(ctypes.c_void_p(library._handle))
