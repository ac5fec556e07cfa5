"""A stream of sound whose playback is simulated and, where wanted, slowed down by rests. Plays nothing, decides nothing: `pacing` does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from pipelines.schema.node import close_iterator
from pipelines.schema.values import Audio
from pipelines.stream.pacing import Pacer, StreamSettings
from pipelines.stream.playback import Playback, gaps_at_best
from pipelines.stream.report import StreamReport, gap_text


@dataclass
class PacedStream:
    """Chunks of sound with a simulated listener behind them: iterate over it for the chunks, then ask for the `report`.

    expected_seconds: about how long the sound will be; None where nobody knows.
    promised: the real-time factor to believe before it is measured, such as an earlier report's; None is the tier's.
    paced: rest between chunks as the tier asks; without it the listener is simulated and the work never rests.
    clock, sleep: in seconds; tests and benchmarks bring their own. pressure: memory in use as a part of the limit.
    since: when the request came, by the clock; None is when the first chunk is requested.
    """

    chunks: Iterable[Audio]
    settings: StreamSettings
    expected_seconds: float | None = None
    promised: float | None = None
    paced: bool = True
    clock: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], object] = time.sleep
    pressure: Callable[[], float] = lambda: 0.0
    since: float | None = None
    _playback: Playback = field(init=False)
    _pacer: Pacer = field(init=False)
    _arrivals: list[tuple[float, float]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._playback = Playback(latest=self.settings.first_audio)
        self._pacer = Pacer(self.settings, self.expected_seconds, self.promised)

    def __iter__(self) -> Iterator[Audio]:
        playback = self._playback
        begin = self.clock() if self.since is None else self.since
        source = iter(self.chunks)
        try:
            while True:
                requested = self.clock()
                chunk = next(source, None)
                if chunk is None:
                    break
                now = self.clock()
                self._arrived(chunk, now - requested, now - begin)
                yield chunk
                self._rest()
                playback.advance(self.clock() - begin)
        finally:
            close_iterator(source)
            ended = self.clock() - begin
            playback.finish(ended)
            playback.start(ended)

    def _arrived(self, chunk: Audio, work: float, at: float) -> None:
        playback, pacer = self._playback, self._pacer
        self._arrivals.append((work, chunk.seconds))
        playback.receive(chunk.seconds, at)
        pacer.made(work, chunk.seconds)
        enough = pacer.prebuffer(self.pressure())
        # One wait until the rest can be heard through is easier to bear than many short ones.
        playback.resume = min(enough, self.settings.prebuffer_range[1])
        if playback.started_at is None and playback.buffered >= enough:
            playback.start(at)

    def _rest(self) -> None:
        if not self.paced:
            return
        seconds = self._pacer.rest(self._playback.buffered, self._playback.playing)
        if seconds > 0:
            self.sleep(seconds)

    def report(self) -> StreamReport:
        """How it went so far."""
        playback, pacer, settings = self._playback, self._pacer, self.settings
        used, (low, high) = pacer.utilisation(), settings.utilisation_range
        inside = not self.paced or not pacer.busy or low - 0.005 <= used <= high + 0.005
        return StreamReport(
            audio_seconds=playback.received,
            first_audio=playback.started_at,
            real_time_factor=pacer.real_time_factor(),
            gaps=tuple(playback.gaps),
            utilisation=used,
            in_range=inside,
            chunks=pacer.chunks,
            busy_seconds=pacer.busy,
            rested_seconds=pacer.rested,
            notes=tuple(self._notes(too_busy=not inside and used > high)),
            prebuffer=playback.prebuffered,
            avoidable_gaps=len(playback.gaps) if not gaps_at_best(self._arrivals, settings.first_audio) else 0,
            utilisation_range=settings.utilisation_range,
            paced=self.paced,
        )

    def _notes(self, *, too_busy: bool) -> Iterator[str]:
        """What could not be achieved, and why, in sentences."""
        playback, pacer, (low, high) = self._playback, self._pacer, self.settings.utilisation_range
        yield from pacer.notes
        if too_busy:
            yield (
                f"Utilisation was {pacer.utilisation():.2f}, over {low:.2f} to {high:.2f}: at a real-time factor of "
                f"{pacer.speed.measured:.2f} more rest would have put gaps into the sound."
            )
        if pacer.real_time_factor() > 1 and not any(note.startswith("Slower") for note in pacer.notes):
            yield f"Slower than real time in all (a real-time factor of {pacer.real_time_factor():.2f}, the start-up included)."
        if playback.gaps:
            total = sum(gap.seconds for gap in playback.gaps)
            yield f"{gap_text(len(playback.gaps), total)}: the sound was made slower than it was heard."
