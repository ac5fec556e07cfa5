"""Listens to a stream as a person would, on paper, and paces it by measurement; then says how it went. Makes no sound itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.schema.values import Audio
from pipelines.stream.pacing import Pacer, StreamSettings
from pipelines.stream.pipe import close
from pipelines.stream.player import Gap, Player, gaps_at_best


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
    prebuffer: float = 0.0
    avoidable_gaps: int = 0
    utilisation_range: tuple[float, float] = (0.0, 1.0)
    paced: bool = True

    def to_dict(self) -> dict[str, Any]:
        """For records: seconds to the millisecond."""
        return {
            "audio_seconds": round(self.audio_seconds, 3),
            "chunks": self.chunks,
            "first_audio_seconds": None if self.first_audio is None else round(self.first_audio, 3),
            "prebuffer_seconds": round(self.prebuffer, 3),
            "real_time_factor": round(self.real_time_factor, 4),
            "gaps": len(self.gaps),
            "gap_seconds": round(self.gap_seconds, 3),
            "avoidable_gaps": self.avoidable_gaps,
            "utilisation": round(self.utilisation, 3),
            "utilisation_range": list(self.utilisation_range),
            "paced": self.paced,
            "in_range": self.in_range,
            "busy_seconds": round(self.busy_seconds, 3),
            "rested_seconds": round(self.rested_seconds, 3),
            "notes": list(self.notes),
        }

    @property
    def gap_seconds(self) -> float:
        """Silence a listener would have had to bear."""
        return sum(gap.seconds for gap in self.gaps)


@dataclass
class Live:
    """A stream being listened to: iterate over it for the chunks, then ask for the `report`.

    clock, sleep: seconds; tests and benchmarks bring their own. pressure: memory in use as a part of the limit.
    promised: the real-time factor to believe before it is measured, such as an earlier report's; None is the tier's.
    since: when the request came, by the clock; None is when the first chunk is asked for.
    paced: rest between chunks as the tier asks; without it only the listener is simulated.
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
    _player: Player = field(init=False)
    _pacer: Pacer = field(init=False)
    _arrivals: list[tuple[float, float]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._player = Player(latest=self.settings.first_audio)
        self._pacer = Pacer(self.settings, self.expected_seconds, self.promised)

    def __iter__(self) -> Iterator[Audio]:
        player = self._player
        begin = self.clock() if self.since is None else self.since
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
        self._arrivals.append((work, chunk.seconds))
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
            notes.append(f"{_gaps(len(player.gaps), total)}: the sound was made slower than it was heard.")
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
            prebuffer=player.prebuffered,
            avoidable_gaps=len(player.gaps) if not gaps_at_best(self._arrivals, settings.first_audio) else 0,
            utilisation_range=settings.utilisation_range,
            paced=self.paced,
        )


def render(report: Mapping[str, Any]) -> tuple[str, ...]:
    """A report, as `StreamReport.to_dict` gives it, as lines of text for a person."""
    first, gaps = report["first_audio_seconds"], "no gaps"
    began = (
        "no sound"
        if first is None
        else f"first audio after {first:.2f} s ({report['prebuffer_seconds']:.2f} s buffered)"
    )
    if report["gaps"]:
        gaps = f"{_gaps(report['gaps'], report['gap_seconds'])}, {report['avoidable_gaps'] or 'none'} avoidable"
    low, high = report["utilisation_range"]
    held = "" if report["paced"] else "; stream.pace=true holds it"
    used = f"utilisation {report['utilisation']:.2f} (tier {low:.2f}-{high:.2f}{held})"
    return (
        f"{began}, {gaps}, real-time factor {report['real_time_factor']:.2f}",
        f"{report['audio_seconds']:.1f} s in {_chunks(report['chunks'])}, {used}",
        *report["notes"],
    )


def summary(reports: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """The reports of a run by task as few lines: one stream in full, of several the worst of each figure."""
    if len(reports) == 1:
        return render(next(iter(reports.values())))
    if not reports:
        return ()
    every = list(reports.values())
    firsts = [report["first_audio_seconds"] for report in every if report["first_audio_seconds"] is not None]
    gaps, avoidable = (sum(report[key] for report in every) for key in ("gaps", "avoidable_gaps"))
    slowest = max(report["real_time_factor"] for report in every)
    line = f"{len(every)} streams: first audio after {max(firsts, default=0):.2f} s at most, {gaps} gaps ({avoidable} avoidable), "
    return (line + f"real-time factor {slowest:.2f} at most; each is in run.json.",)


def _chunks(count: int) -> str:
    return f"{count} chunk{'s' * (count != 1)}"


def _gaps(count: int, seconds: float) -> str:
    return f"1 gap of {seconds:.2f} s" if count == 1 else f"{count} gaps of {seconds:.2f} s together"
