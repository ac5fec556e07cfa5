"""Runs one item through a chain of nodes that stream into each other: writes every node's outputs, and reports on playback.

Each chunk is written into its node's own folder as it passes, so the files are the same as if the node had run by itself. Playback is
simulated behind the last node that gives sound.
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
from pipelines.schema.node import close_iterator
from pipelines.schema.values import Audio, Value
from pipelines.stream.chain_nodes import ChainNode, Chunks, chain
from pipelines.stream.paced import PacedStream
from pipelines.stream.pacing import StreamSettings
from pipelines.stream.report import StreamReport

if TYPE_CHECKING:
    import soundfile

#: Above this a plain WAV header cannot say its own length.
_WAV_LIMIT = 4 * 10**9
#: Characters spoken in a second, to estimate how long a text will be: 160 words a minute of five letters and a space.
_CHARACTERS_A_SECOND = 16.0


@dataclass(frozen=True, slots=True)
class Streaming:
    """How a run streams. paced: rest between chunks to keep the tier's utilisation, for a listener who hears it now."""

    settings: StreamSettings = field(default_factory=StreamSettings)
    paced: bool = False


@dataclass
class OutputWriter:
    """Writes one node's outputs while they are made. port: the first output. seconds: of work so far, earlier nodes included.

    failed: the exception came out of this node or an earlier one. ended: the node has given its last chunk.
    """

    folder: Path
    port: str
    gives_sound: bool = True
    clock: Callable[[], float] = time.perf_counter
    seconds: float = 0.0
    failed: bool = False
    ended: bool = False
    frames: int = 0
    outputs: dict[str, Value] = field(default_factory=dict)

    def write(self, chunks: Chunks) -> Iterator[Value]:
        """The same chunks, each written before it is given to the next node. Chunks without a frame are dropped."""
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
class ChainRun:
    """One item's way through a chain: `execute` it once, then ask for the `report`.

    nodes, writers: one of each for every node. expected_seconds: about how long the sound will be.
    since: when it was requested, by the clock; None is when it begins. promised: the real-time factor to believe at first.
    pressure: memory in use as a part of the limit. sleep: waits some seconds; it may return early.
    """

    nodes: Sequence[ChainNode]
    writers: Sequence[OutputWriter]
    streaming: Streaming
    expected_seconds: float | None
    clock: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], object] = time.sleep
    pressure: Callable[[], float] = lambda: 0.0
    since: float | None = None
    promised: float | None = None
    _stream: PacedStream | None = field(default=None, init=False)

    def execute(self) -> None:
        """Make every chunk, to the last. Raises what a node raises."""
        last = chain(self.nodes, each=self._observed)
        try:
            for _ in last:
                pass
        finally:
            close_iterator(last)
        for writer in self.writers:
            if not writer.ended or not writer.outputs:  # the rest of it was never made
                raise TaskFailed(f"{writer.folder.name} gave nothing, or what follows it stopped before its end.")

    def _observed(self, index: int, chunks: Chunks) -> Iterator[Value]:
        written = self.writers[index].write(chunks)
        if index != self._last_sound:
            return written
        sound = cast("Iterator[Audio]", written)
        self._stream = PacedStream(
            sound, self.streaming.settings, self.expected_seconds, self.promised, paced=self.streaming.paced,
            clock=self.clock, sleep=self.sleep, pressure=self.pressure, since=self.since,
        )  # fmt: skip
        return iter(self._stream)

    @property
    def _last_sound(self) -> int:
        """The last node that gives sound."""
        return max(index for index, writer in enumerate(self.writers) if writer.gives_sound)

    @property
    def failed_first(self) -> int:
        """The node an exception came from; the last one where it came from none of them."""
        return next((index for index, writer in enumerate(self.writers) if writer.failed), len(self.writers) - 1)

    def report(self) -> StreamReport:
        """How playback went."""
        assert self._stream is not None
        return self._stream.report()

    def seconds(self) -> list[float]:
        """Seconds of each node's own work. Rests are measured in the node behind the playback, which waits for its next chunk then."""
        rested = self.report().rested_seconds
        own = [after - before for before, after in pairwise([0.0, *(writer.seconds for writer in self.writers)])]
        return [max(0.0, each - (rested if index == self._last_sound + 1 else 0.0)) for index, each in enumerate(own)]


def expected_seconds(item: Item) -> float | None:
    """About how many seconds the speech of an item's text will be; None where it has no text."""
    return item.characters / _CHARACTERS_A_SECOND if item.characters else None


def real_time_factor(footprints: Iterable[tuple[Footprint, Mapping[str, Any]]]) -> float | None:
    """Seconds of work for a second of speech, from footprints with their knobs; None where no footprint says."""
    second = Item("", seconds=1.0, characters=round(_CHARACTERS_A_SECOND))
    return sum(evaluate({**each.seconds, "base": 0.0}, second, knobs) for each, knobs in footprints) or None
