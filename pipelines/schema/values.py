"""What travels between nodes: host arrays and small records, each with its port type name. Nothing here knows a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Audio:
    """Sound, in memory or in a file that is read block by block, so that a long track need not fit in RAM.

    Exactly one of `data` (float32 [channels, frames], nominally in -1..1) and `path` (a file soundfile reads) is set.
    """

    port: ClassVar[str] = "audio"
    rate: int
    channels: int
    frames: int
    data: Samples | None = field(default=None, repr=False)
    path: Path | None = None

    @staticmethod
    def of(samples: Any, rate: int) -> Audio:
        """From an array of shape [frames] or [channels, frames]; copied to contiguous float32."""
        import numpy as np

        data = np.ascontiguousarray(np.atleast_2d(np.asarray(samples, dtype=np.float32)))
        return Audio(rate=int(rate), channels=data.shape[0], frames=data.shape[1], data=data)

    @staticmethod
    def open(path: Path) -> Audio:
        """From a file's header, without decoding it. Raises `soundfile.LibsndfileError` for what it cannot read."""
        import soundfile

        info = soundfile.info(str(path))
        return Audio(rate=info.samplerate, channels=info.channels, frames=info.frames, path=path)

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.frames / self.rate

    def read(self, start: int = 0, stop: int | None = None) -> Samples:
        """Frames [start, stop) as float32 [channels, n]."""
        if self.data is not None:
            return self.data[:, start:stop]
        import numpy as np
        import soundfile

        block, _ = soundfile.read(str(self.path), start=start, stop=stop, dtype="float32", always_2d=True)
        samples: Samples = np.ascontiguousarray(block.T)
        return samples

    def mono(self) -> Samples:
        """All of it as float32 [frames], channels averaged."""
        mixed: Samples = self.read().mean(axis=0)
        return mixed

    def blocks(self, frames: int) -> Iterator[Samples]:
        """Consecutive pieces of at most `frames` frames, float32 [channels, n]."""
        for start in range(0, self.frames, frames):
            yield self.read(start, min(start + frames, self.frames))


@dataclass(frozen=True, slots=True)
class Word:
    """One word; `start` and `end` in seconds from the beginning of the audio, `confidence` in 0..1."""

    text: str
    start: float
    end: float
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class Words:
    """A timed transcript in ascending order. `language` is an ISO 639-1 code."""

    port: ClassVar[str] = "words"
    words: tuple[Word, ...]
    language: str = "en"

    @property
    def text(self) -> str:
        """The words with single spaces."""
        return " ".join(word.text for word in self.words)


@dataclass(frozen=True, eq=False)
class Contour:
    """Pitch over time: float64 arrays of one length. `times` s, `hertz` Hz (>0 everywhere), `confidence` 0..1."""

    port: ClassVar[str] = "contour"
    times: NDArray[np.float64]
    hertz: NDArray[np.float64]
    confidence: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Note:
    """One sung note; times in seconds, `midi` a whole MIDI note number (60 is middle C), `text` its syllable.

    `text` begins with a space where a new word begins, and is `~` where the last syllable is held.
    """

    start: float
    end: float
    midi: int
    text: str = "~"


@dataclass(frozen=True, slots=True)
class Notes:
    """A melody with words, ascending and not overlapping. `bpm` in quarter notes a minute, `key` like `C major`.

    `breaks` are the indices of the notes that begin a new phrase (never 0).
    """

    port: ClassVar[str] = "notes"
    notes: tuple[Note, ...]
    bpm: float
    language: str = "en"
    key: str = ""
    breaks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Text:
    """Words to be spoken. `language` is an ISO 639-1 code."""

    port: ClassVar[str] = "text"
    text: str
    language: str = "en"


@dataclass(frozen=True, slots=True)
class File:
    """A finished file (a song file, a report) inside the run's artifacts; `beside` are files that belong with it."""

    port: ClassVar[str] = "file"
    path: Path
    beside: tuple[Path, ...] = ()


Value = Audio | Words | Contour | Notes | Text | File
#: Every port type by name. A pipeline may join only ports of one type.
PORTS: dict[str, type[Any]] = {kind.port: kind for kind in (Audio, Words, Contour, Notes, Text, File)}
