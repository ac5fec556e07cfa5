"""Carries chunks from node to node and on to a listener, paced by measurement: pull by pull, with nothing running ahead unasked.

A chain of nodes is a chain of generators, so a consumer that stops reading stops everything, and closing the last closes them all.
Where making should run ahead of hearing, `pipe.Pipe` puts one thread and a bounded queue between.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.run.pacing import Pacer, StreamSettings
from pipelines.run.piecewise import Pieces, piecewise
from pipelines.run.pipe import close
from pipelines.run.player import Gap, Player
from pipelines.schema.node import Context, Inputs, Node, StreamNode
from pipelines.schema.values import Audio, Value


@dataclass(frozen=True, slots=True)
class Stage:
    """One node of a chain, with what it needs to run. main: the input port that takes the chunks of the stage before.

    pieces: how to cut the sound for a node that cannot stream but gives as much sound as it takes; None waits for all of it.
    """

    node: Node
    model: Any
    inputs: Inputs
    context: Context
    main: str = "audio"
    pieces: Pieces | None = None


def chain(stages: Sequence[Stage], chunks: Iterator[Value] | None = None) -> Iterator[Value]:
    """Chunks of the last stage's first output. Nothing is computed before it is asked for; close the iterator to stop early.

    A stage whose node cannot stream works in `pieces` where it may, else takes all of its input first and gives one piece.
    """
    for stage in stages:
        if isinstance(stage.node, StreamNode):
            chunks = _streamed(stage, chunks)
        elif stage.pieces is not None and chunks is not None:
            chunks = _in_pieces(stage, stage.pieces, chunks)
        else:
            chunks = _whole(stage, chunks)
    if chunks is None:
        raise ValueError("A chain needs a stage or chunks to begin with.")
    return chunks


def _streamed(stage: Stage, chunks: Iterator[Value] | None) -> Iterator[Value]:
    assert isinstance(stage.node, StreamNode)
    made = stage.node.stream(stage.model, stage.inputs, chunks, stage.context)
    try:
        for piece in made:
            stage.context.progress(0.0)
            yield piece
    finally:
        close(made)
        close(chunks)


def _in_pieces(stage: Stage, how: Pieces, chunks: Iterator[Value]) -> Iterator[Value]:
    def convert(piece: Audio) -> Audio:
        stage.context.progress(0.0)
        outputs = stage.node.run(stage.model, {**stage.inputs, stage.main: piece}, stage.context)
        made = next(iter(outputs.values()))
        assert isinstance(made, Audio)
        return made

    try:
        yield from piecewise(convert, (chunk for chunk in chunks if isinstance(chunk, Audio)), how)
    finally:
        close(chunks)


def _whole(stage: Stage, chunks: Iterator[Value] | None) -> Iterator[Value]:
    inputs = dict(stage.inputs)
    if chunks is not None:
        inputs[stage.main] = join_audio(chunk for chunk in chunks if isinstance(chunk, Audio))
    outputs = stage.node.run(stage.model, inputs, stage.context)
    yield next(iter(outputs.values()))


def join_audio(chunks: Iterable[Audio]) -> Audio:
    """Chunks of one rate as one. No chunk at all is silence of no length at 24 kHz. Raises `ValueError` where rates differ."""
    import numpy as np

    pieces = list(chunks)
    if not pieces:
        return Audio.of(np.zeros((1, 0), np.float32), 24_000)
    rates = {piece.rate for piece in pieces}
    if len(rates) > 1:
        raise ValueError(f"Chunks of different sample rates cannot be joined: {sorted(rates)} Hz.")
    return Audio.of(np.concatenate([piece.read() for piece in pieces], axis=1), rates.pop())


@dataclass(frozen=True, slots=True)
class StreamReport:
    """How a stream went. Times in seconds, since the request. first_audio: None where nothing was made.

    utilisation: part of the time of making that was work. notes: what could not be had, in sentences.
    """

    audio_seconds: float
    first_audio: float | None
    real_time_factor: float
    gaps: tuple[Gap, ...]
    utilisation: float
    in_range: bool
    chunks: int
    busy_seconds: float
    rested_seconds: float
    notes: tuple[str, ...] = ()

    @property
    def gap_seconds(self) -> float:
        """Silence a listener would have had to bear."""
        return sum(gap.seconds for gap in self.gaps)


@dataclass
class Live:
    """A stream being listened to: iterate over it for the chunks, then ask for the `report`.

    clock, sleep: seconds; tests and benchmarks bring their own. pressure: memory in use as a part of the limit.
    promised: the real-time factor to believe before it is measured, such as an earlier report's; None is the tier's.
    paced: rest between chunks as the tier asks; without it only the listener is simulated.
    """

    chunks: Iterable[Audio]
    settings: StreamSettings
    expected_seconds: float | None = None
    promised: float | None = None
    paced: bool = True
    clock: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], None] = time.sleep
    pressure: Callable[[], float] = lambda: 0.0
    _player: Player = field(init=False)
    _pacer: Pacer = field(init=False)

    def __post_init__(self) -> None:
        self._player = Player(latest=self.settings.first_audio)
        self._pacer = Pacer(self.settings, self.expected_seconds, self.promised)

    def __iter__(self) -> Iterator[Audio]:
        player, begin = self._player, self.clock()
        source = iter(self.chunks)
        try:
            while True:
                asked = self.clock()
                chunk = next(source, None)
                if chunk is None:
                    break
                now = self.clock()
                self._arrived(chunk, now - asked, now - begin)
                yield chunk
                self._rest()
                player.advance(self.clock() - begin)
        finally:
            close(source)
            ended = self.clock() - begin
            player.finish(ended)
            player.start(ended)

    def _arrived(self, chunk: Audio, work: float, at: float) -> None:
        player, pacer = self._player, self._pacer
        player.receive(chunk.seconds, at)
        pacer.made(work, chunk.seconds)
        enough = pacer.prebuffer(self.pressure())
        # One wait until the rest can be heard through is easier to bear than many short ones.
        player.resume = min(enough, self.settings.prebuffer_range[1])
        if player.started_at is None and player.buffered >= enough:
            player.start(at)

    def _rest(self) -> None:
        if not self.paced:
            return
        seconds = self._pacer.rest(self._player.buffered, self._player.playing)
        if seconds > 0:
            self.sleep(seconds)

    def report(self) -> StreamReport:
        """How it went so far."""
        player, pacer, settings = self._player, self._pacer, self.settings
        used, (low, high) = pacer.utilisation(), settings.utilisation_range
        inside = not self.paced or not pacer.busy or low - 0.005 <= used <= high + 0.005
        notes = list(pacer.notes)
        if not inside and used > high:
            notes.append(
                f"Utilisation was {used:.2f}, over {low:.2f} to {high:.2f}: at a real-time factor of {pacer.speed.measured:.2f} "
                "more rest would have put gaps into the sound."
            )
        if pacer.real_time_factor() > 1 and not any(note.startswith("Slower") for note in notes):
            notes.append(
                f"Slower than real time in all (a real-time factor of {pacer.real_time_factor():.2f}, the start-up included)."
            )
        if player.gaps:
            total = sum(gap.seconds for gap in player.gaps)
            notes.append(
                f"{len(player.gaps)} gaps of {total:.2f} s together: the sound was made slower than it was heard."
            )
        return StreamReport(
            audio_seconds=player.received,
            first_audio=player.started_at,
            real_time_factor=pacer.real_time_factor(),
            gaps=tuple(player.gaps),
            utilisation=used,
            in_range=inside,
            chunks=pacer.chunks,
            busy_seconds=pacer.busy,
            rested_seconds=pacer.rested,
            notes=tuple(notes),
        )


def render(report: StreamReport) -> tuple[str, ...]:
    """A report as lines of text for a person."""
    first = "none" if report.first_audio is None else f"{report.first_audio:.2f} s"
    gaps = f"{len(report.gaps)} ({report.gap_seconds:.2f} s)" if report.gaps else "none"
    return (
        f"first audio after {first}, real-time factor {report.real_time_factor:.2f}, gaps: {gaps}",
        f"{report.audio_seconds:.1f} s of sound in {report.chunks} chunks; utilisation {report.utilisation:.2f}",
        *report.notes,
    )
