"""One item through a chain of nodes that hand their sound on: every node's outputs on disk, and how it sounded to a listener.

Each chunk is written into its node's own folder as it passes, so a node's files are the same as if it had run alone. The listener stands
behind the last node that gives sound.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pipelines.schema.config import Footprint, Item, evaluate
from pipelines.schema.errors import TaskFailed
from pipelines.schema.values import Audio, Value
from pipelines.stream.listening import Live, StreamReport
from pipelines.stream.pacing import StreamSettings
from pipelines.stream.pipe import close
from pipelines.stream.streaming import Chunks, Stage, chain

if TYPE_CHECKING:
    import soundfile

#: Above this a plain WAV header cannot say its own length.
_WAV_LIMIT = 4 * 10**9
#: Characters said in a second, for how long a text will be: 160 words a minute of five letters and a space.
_CHARACTERS_A_SECOND = 16.0


@dataclass(frozen=True, slots=True)
class Streaming:
    """How a run streams. paced: rest between chunks to hold the tier's utilisation, as with a listener who hears it now."""

    settings: StreamSettings = field(default_factory=StreamSettings)
    paced: bool = False


@dataclass
class Landing:
    """A node's outputs as they come. port: the first one. seconds: of work, that of the nodes before it included."""

    folder: Path
    port: str
    gives_sound: bool = True
    clock: Callable[[], float] = time.perf_counter
    seconds: float = 0.0
    failed: bool = False
    ended: bool = False
    frames: int = 0
    outputs: dict[str, Value] = field(default_factory=dict)

    def passing(self, chunks: Chunks) -> Iterator[Value]:
        """The chunks, each written down before it is handed on. Chunks without a frame end here."""

        sound: soundfile.SoundFile | None = None
        try:
            while (chunk := self._next(chunks)) is not None:
                if not isinstance(chunk, Audio):
                    self.outputs[self.port] = chunk
                    yield chunk
                elif chunk.frames:
                    sound = sound or self._file(chunk)
                    self._write(sound, chunk)
                    yield chunk
        finally:
            chunks.close()
            if sound is not None:
                sound.close()
        if sound is not None:
            self.outputs = {self.port: Audio.open(self.folder / f"{self.port}.wav"), **self.outputs}

    def _next(self, chunks: Chunks) -> Value | None:
        begun = self.clock()
        try:
            return next(chunks)
        except StopIteration as ended:
            self.outputs |= ended.value or {}
            self.ended = True
            return None
        except BaseException:
            self.failed = True
            raise
        finally:
            self.seconds += self.clock() - begun

    def _file(self, chunk: Audio) -> soundfile.SoundFile:
        import soundfile

        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{self.port}.wav"
        return soundfile.SoundFile(str(path), "w", chunk.rate, chunk.channels, "FLOAT", format="WAV")

    def _write(self, sound: soundfile.SoundFile, chunk: Audio) -> None:
        if (chunk.rate, chunk.channels) != (sound.samplerate, sound.channels):
            raise TaskFailed(f"The sound changes from {sound.samplerate} to {chunk.rate} Hz, or in its channels.")
        self.frames += chunk.frames
        if self.frames * chunk.channels * 4 > _WAV_LIMIT:
            raise TaskFailed("The sound is too long for one file that is written as it comes.")
        sound.write(chunk.read().T)


@dataclass
class Chained:
    """A chain of one item. Carry it out once; then ask how it went.

    stages, landings: of each node. since: when it was asked for, by the clock; None is when it begins.
    promised: the real-time factor to believe at first. pressure: memory in use as a part of the limit. sleep: rests, and may
    return early.
    """

    stages: Sequence[Stage]
    landings: Sequence[Landing]
    streaming: Streaming
    expected_seconds: float | None
    clock: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], object] = time.sleep
    pressure: Callable[[], float] = lambda: 0.0
    since: float | None = None
    promised: float | None = None
    _live: Live | None = field(default=None, init=False)

    def carry_out(self) -> None:
        """Everything, to the last chunk. Raises what a node raises."""
        last = chain(self.stages, each=self._passing)
        try:
            for _ in last:
                pass
        finally:
            close(last)
        for landing in self.landings:
            if not landing.ended or not landing.outputs:  # the rest of it was never made
                raise TaskFailed(f"{landing.folder.name} gave nothing, or what follows it stopped before its end.")

    def _passing(self, index: int, chunks: Chunks) -> Iterator[Value]:
        landed = self.landings[index].passing(chunks)
        if index != self._ear:
            return landed
        sound = cast("Iterator[Audio]", landed)
        self._live = Live(
            sound, self.streaming.settings, self.expected_seconds, self.promised, paced=self.streaming.paced,
            clock=self.clock, sleep=self.sleep, pressure=self.pressure, since=self.since,
        )  # fmt: skip
        return iter(self._live)

    @property
    def _ear(self) -> int:
        """The last stage that gives sound."""
        return max(index for index, landing in enumerate(self.landings) if landing.gives_sound)

    @property
    def failed_first(self) -> int:
        """The stage an exception came from; the last one where it came from none of them."""
        return next((index for index, landing in enumerate(self.landings) if landing.failed), len(self.landings) - 1)

    def report(self) -> StreamReport:
        """How it sounded."""
        assert self._live is not None
        return self._live.report()

    def seconds(self) -> list[float]:
        """Of each stage's own work. Rests fall into the stage behind the listener, which asks for the next chunk then."""
        rested = self.report().rested_seconds
        own = [after - before for before, after in pairwise([0.0, *(landing.seconds for landing in self.landings)])]
        return [max(0.0, each - (rested if index == self._ear + 1 else 0.0)) for index, each in enumerate(own)]


def expected_seconds(item: Item) -> float | None:
    """About how long the speech of an item's text will be; None where it has none."""
    return item.characters / _CHARACTERS_A_SECOND if item.characters else None


def real_time_factor(footprints: Iterable[tuple[Footprint, Mapping[str, Any]]]) -> float | None:
    """Seconds of work for a second of speech, as declared or measured, from footprints and their knobs; None where nothing says."""
    second = Item("", seconds=1.0, characters=round(_CHARACTERS_A_SECOND))
    return sum(evaluate({**each.seconds, "base": 0.0}, second, knobs) for each, knobs in footprints) or None
