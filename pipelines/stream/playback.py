"""Playback simulated: audio is consumed in real time, by the clock it is given, and every wait is noted. Plays no sound."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Gap:
    """Silence because no audio had come. at: seconds since the request. position: seconds of audio played before it."""

    at: float
    seconds: float
    position: float


@dataclass(slots=True)
class Playback:
    """What a listener has heard so far. All times are seconds since the request; they may only grow.

    latest: when playback begins by itself, with whatever has come; `start` begins it sooner. resume: seconds that must be
    buffered before playback goes on after a gap (unless nothing more comes), so that one wait does not become many.
    """

    latest: float = math.inf
    resume: float = 0.0
    started_at: float | None = field(default=None, init=False)
    prebuffered: float = field(default=0.0, init=False)
    received: float = field(default=0.0, init=False)
    played: float = field(default=0.0, init=False)
    gaps: list[Gap] = field(default_factory=list, init=False)
    finished: bool = field(default=False, init=False)
    _now: float = field(default=0.0, init=False)
    _silent_since: float | None = field(default=None, init=False)

    @property
    def buffered(self) -> float:
        """Seconds of audio that have arrived and not been played."""
        return self.received - self.played

    @property
    def playing(self) -> bool:
        """Whether sound comes out now."""
        return self.started_at is not None and self._silent_since is None

    def start(self, at: float) -> None:
        """Begin to play, if anything has come."""
        self.advance(at)
        if self.started_at is None and self.received > 0:
            self._start(at)

    def receive(self, seconds: float, at: float) -> None:
        """A chunk of `seconds` has arrived."""
        self.advance(at)
        self.received += seconds
        if self._silent_since is not None and self.buffered >= self.resume:
            self._end_gap(at)

    def finish(self, at: float) -> None:
        """No more will come; what is buffered plays out without a gap."""
        self.advance(at)
        self.finished = True
        if self._silent_since is not None:
            if self.buffered > 0:
                self._end_gap(at)
            self._silent_since = None

    def advance(self, at: float) -> None:
        """Let the time pass until `at`."""
        passed = at - self._now
        if passed < 0:
            raise ValueError(f"Time went back from {self._now} to {at}.")
        if self.started_at is None and self.received > 0 and at > self.latest:
            self._now = max(self.latest, self._now)
            self._start(self._now)
            passed = at - self._now
        if self.playing:
            played = min(passed, self.buffered)
            self.played += played
            # Float residue is no gap: sums of chunk lengths differ from clock readings in the last digits.
            if passed - played > 1e-9 and not self.finished:
                self._silent_since = self._now + played
        self._now = at

    def _start(self, at: float) -> None:
        self.started_at, self.prebuffered = at, self.received

    def _end_gap(self, at: float) -> None:
        assert self._silent_since is not None
        self.gaps.append(Gap(self._silent_since, at - self._silent_since, self.played))
        self._silent_since = None


def gaps_at_best(chunks: Iterable[tuple[float, float]], latest: float) -> list[Gap]:
    """The gaps of a playback that begins as late as allowed. chunks: seconds of work for each, and of its audio.

    No prebuffer that is allowed could have prevented these; where there are none, any other gap was avoidable.
    """
    playback, now = Playback(latest=latest), 0.0
    for work, seconds in chunks:
        now += work
        playback.receive(seconds, now)
    playback.finish(now)
    return playback.gaps
