"""Decides when playback begins and how long to rest between chunks, from the measured speed. Has no clock and no thread.

There are two aims: a listener wants sound soon and without gaps, and other programs want the machine some of the time. The order of
priority: no gap, then the first sound in time, then utilisation in its range. Playback begins once enough is buffered for the worst
case that the measured speed and its jitter allow, and at the latest when the tier's time to first audio is over. Rests use only audio
that is buffered beyond that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pipelines.schema.settings import Tier

#: What a tier that says nothing of streaming has.
_TIER = Tier("default")
#: Memory use, as a part of the limit, above which the prebuffer shrinks to the least of its range. From document 000
#: (docs/seeds.md): `vram_limit_mb * 0.9`.
PRESSURE = 0.9
#: How many standard deviations of the sum of chunk times are provided for. Four would do for one moment of a normal sum; five, because
#: the deviation itself is estimated from few chunks and every chunk of an utterance is such a moment.
_SURE = 5.0
#: Before jitter is measured it is taken for even over +-40 % of the mean, a deviation of 0.4 / sqrt(3); and the tier is believed about the
#: mean; both with the weight of two seconds of audio.
_PRIOR, _BELIEVED = 0.4 / math.sqrt(3), 2.0


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """A tier's streaming settings. Times are seconds, utilisations parts of one. first_audio: the latest time to first audio."""

    prebuffer: float = _TIER.prebuffer
    prebuffer_range: tuple[float, float] = _TIER.prebuffer_range
    utilisation: float = _TIER.utilisation
    utilisation_range: tuple[float, float] = _TIER.utilisation_range
    yield_seconds: float = _TIER.yield_seconds
    first_audio: float = _TIER.first_audio
    real_time_factor: float = _TIER.real_time_factor

    @staticmethod
    def of(tier: Tier) -> StreamSettings:
        """From a tier. A prebuffer or utilisation outside its range, as an environment may set it,
        widens the range."""
        return StreamSettings(
            prebuffer=tier.prebuffer,
            prebuffer_range=_around(tier.prebuffer_range, tier.prebuffer),
            utilisation=tier.utilisation,
            utilisation_range=_around(tier.utilisation_range, tier.utilisation),
            yield_seconds=tier.yield_seconds,
            first_audio=tier.first_audio,
            real_time_factor=tier.real_time_factor,
        )


def _around(bounds: tuple[float, float], value: float) -> tuple[float, float]:
    return min(bounds[0], value), max(bounds[1], value)


@dataclass(slots=True)
class Speed:
    """Seconds of work for each second of audio, measured chunk by chunk. promised: the tier's real-time factor, believed at first."""

    promised: float = 1.0
    count: int = field(default=0, init=False)
    work: float = field(default=0.0, init=False)
    audio: float = field(default=0.0, init=False)
    _mean: float = field(default=0.0, init=False)
    _squares: float = field(default=0.0, init=False)

    def add(self, work_seconds: float, audio_seconds: float) -> None:
        """A chunk was made."""
        if audio_seconds <= 0:
            return
        self.count += 1
        self.work += work_seconds
        self.audio += audio_seconds
        before = work_seconds / audio_seconds - self._mean
        self._mean += before / self.count
        self._squares += before * (work_seconds / audio_seconds - self._mean)

    @property
    def measured(self) -> float:
        """The real-time factor so far; 0 before the first chunk."""
        return self.work / self.audio if self.audio else 0.0

    @property
    def _belief(self) -> float:
        """How many chunks the belief counts for."""
        return _BELIEVED / (self.audio / self.count) if self.count else _BELIEVED

    @property
    def weight(self) -> float:
        """How many chunks the estimates rest on, belief included."""
        return self.count + self._belief

    @property
    def mean(self) -> float:
        """The real-time factor to reckon with: measured, held up to the promised one while little is measured."""
        return max(self.measured, (self.work + _BELIEVED * self.promised) / (self.audio + _BELIEVED))

    @property
    def deviation(self) -> float:
        """Standard deviation of one chunk's ratio, to reckon with."""
        usual = _PRIOR * max(self.promised, self.measured)
        return math.sqrt((self._squares + self._belief * usual**2) / self.weight)


def reserve(speed: Speed, chunk_seconds: float, remaining_seconds: float) -> float:
    """Seconds of audio that must be buffered now so that `remaining_seconds` more, in chunks, all come in time.

    The k-th chunk from now comes after about k * w of work, and k - 1 chunks have come before it. By the jitter s of one chunk
    and the error of a mean over m measured ones that sum may be off by s * sqrt(k + k*k/m); five times as much is provided for.
    The difference is a concave function of k, so it is largest at the first chunk, at the last, or where its slope is zero.
    """
    if remaining_seconds <= 0 or chunk_seconds <= 0:
        return 0.0
    last = max(1.0, math.ceil(remaining_seconds / chunk_seconds))
    measured = speed.weight
    slack = (1 - speed.mean) * chunk_seconds
    spread = _SURE * speed.deviation * chunk_seconds

    def short_at(k: float) -> float:
        return chunk_seconds - k * slack + spread * math.sqrt(k + k * k / measured)

    moments = [1.0, last]
    if slack > 0 and slack * slack * measured > spread * spread:
        # Slope zero, squared, in u = y + y * y with y = k / m: spread^2 (1 + 4u) = 4 slack^2 m u.
        u = spread * spread / (4 * (slack * slack * measured - spread * spread))
        moments.append(min(last, max(1.0, measured * (math.sqrt(1 + 4 * u) - 1) / 2)))
    return max(map(short_at, moments))


@dataclass(slots=True)
class Pacer:
    """The decisions for one utterance. expected_seconds: about how long it will be; None where it is not known (then taken as long).

    promised: the real-time factor to believe at first, as an earlier utterance or a measured footprint has it; None is the tier's.
    """

    settings: StreamSettings
    expected_seconds: float | None = None
    promised: float | None = None
    speed: Speed = field(init=False)
    busy: float = field(default=0.0, init=False)
    rested: float = field(default=0.0, init=False)
    chunks: int = field(default=0, init=False)
    notes: list[str] = field(default_factory=list, init=False)
    _chunk: float = field(default=0.0, init=False)
    _made: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.speed = Speed(self.settings.real_time_factor if self.promised is None else self.promised)

    def made(self, work_seconds: float, audio_seconds: float) -> None:
        """A chunk was made."""
        # The first holds the start-up as well: text prepared, voice conditioned. It tells nothing of the speed of those that follow.
        if self._made:
            self.speed.add(work_seconds, audio_seconds)
        self.busy += work_seconds
        self.chunks += 1
        self._made += audio_seconds
        self._chunk = audio_seconds or self._chunk
        if self.speed.count >= 3 and self.speed.measured > 1:
            self._add_note(
                f"Slower than real time (a real-time factor of {self.speed.measured:.2f}): as much is buffered as "
                f"{self.settings.first_audio:g} s to the first audio allow."
            )

    def remaining(self) -> float:
        """Seconds of audio still to come: what is expected, and one chunk more for the error of the expectation."""
        if self.expected_seconds is None:
            return max(60.0, self._made)
        return max(self.expected_seconds - self._made, 0.0) + self._chunk

    def prebuffer(self, pressure: float = 0.0) -> float:
        """Seconds of audio to hold before playing begins. pressure: memory in use as a part of the limit."""
        least, _ = self.settings.prebuffer_range
        if pressure > PRESSURE:
            self._add_note(f"Memory is at {pressure:.0%} of the limit, so no more than {least:g} s are buffered.")
            return least
        return max(self.settings.prebuffer, reserve(self.speed, self._chunk, self.remaining()))

    def rest(self, buffered: float, playing: bool) -> float:
        """Seconds to rest after a chunk: what utilisation asks for, at least the yield, at most what the buffer can spare."""
        if not playing:
            return 0.0
        wished = max(self.busy / self.settings.utilisation - self.busy - self.rested, self.settings.yield_seconds)
        spare = buffered - reserve(self.speed, self._chunk, self.remaining())
        taken = max(0.0, min(wished, spare))
        self.rested += taken
        return taken

    def real_time_factor(self) -> float:
        """Seconds of work for each second of audio so far, the start-up included; 0 before the first chunk."""
        return self.busy / self._made if self._made else 0.0

    def utilisation(self) -> float:
        """Part of the time spent working so far, rests included."""
        whole = self.busy + self.rested
        return self.busy / whole if whole else 0.0

    def _add_note(self, note: str) -> None:
        start = note[:20]
        if not any(earlier.startswith(start) for earlier in self.notes):
            self.notes.append(note)
