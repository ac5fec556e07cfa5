"""espeak-ng by ctypes, one private copy of the library per use. Not how a text is cut into sentences.

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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.schema.errors import SurroundingsFailed, TaskFailed

if TYPE_CHECKING:
    from pipelines.schema.values import Samples

RATE, PITCH = 1, 3
_SYNCHRONOUS, _DONT_EXIT, _UTF8, _END_PAUSE = 2, 0x8000, 1, 0x1000
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Espeak:
    """A running library. `rate` in Hz."""

    def __init__(self, library: Any, rate: int) -> None:
        self._library, self.rate = library, rate

    def choose(self, voice: str, words_a_minute: int, pitch: int) -> None:
        """Take a voice: a language code or a name such as `en-us+f3`. Raises `TaskFailed` for one there is not."""
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise TaskFailed(
                f"espeak-ng has no voice or language {voice!r}. Set language= to a code such as en, de, fr or cmn, "
                "or the knob speaker to a name such as en-us+f3."
            )
        self._library.espeak_SetParameter(RATE, words_a_minute, 0)
        self._library.espeak_SetParameter(PITCH, pitch, 0)

    def say(self, text: str) -> Samples:
        """Speech for `text`, float32 [frames] at `rate`, its closing pause included."""
        import numpy as np

        blocks: list[Any] = []

        def collect(wave: Any, count: int, events: Any) -> int:
            if wave and count > 0:
                blocks.append(np.ctypeslib.as_array(wave, (count,)).copy())
            return 0

        callback = _Callback(collect)
        self._library.espeak_SetSynthCallback(callback)
        data = text.encode()
        self._library.espeak_Synth(data, len(data) + 1, 0, 0, 0, _UTF8 | _END_PAUSE, None, None)
        self._library.espeak_Synchronize()
        joined = np.concatenate(blocks) if blocks else np.zeros(0)
        return joined.astype(np.float32) / np.float32(32768)


@contextmanager
def espeak() -> Iterator[Espeak]:
    """A library of its own for the time of the block."""
    library = _private_copy()
    try:
        yield Espeak(library, _start(library))
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


def _start(library: Any) -> int:
    import espeakng_loader

    folder = str(espeakng_loader.get_data_path()).encode()
    rate = int(library.espeak_Initialize(_SYNCHRONOUS, 0, folder, _DONT_EXIT))
    if rate <= 0:
        raise SurroundingsFailed("espeak-ng could not start; reinstall the package espeakng-loader.")
    return rate


def _close(library: Any) -> None:
    """Unmap the copy; where the system offers no `dlclose`, its megabyte stays until the process ends."""
    if os.name == "posix":
        ctypes.CDLL(None).dlclose(ctypes.c_void_p(library._handle))
