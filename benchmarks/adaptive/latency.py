"""The latency table of document 000 (docs/seeds.md) on a fake clock: a stand-in voice, real pacing, the real listener.

A gap is avoidable when the same chunks, made at the same pace without a rest and played from the last moment the tier's time to first
audio permits, would have had none: then a larger permitted prebuffer would have covered it. Seeds: even ones are reported, odd ones were
for tuning.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from pipelines.config.catalog import conf_dir
from pipelines.config.tier import load_tier
from pipelines.schema.hardware import TIERS
from pipelines.schema.values import Audio
from pipelines.stream.paced import PacedStream
from pipelines.stream.pacing import StreamSettings
from pipelines.stream.playback import gaps_at_best

CHUNK = 0.5
#: Before the first chunk a voice prepares its text and conditioning. Source: published first-chunk times of XTTS, 0.15 to 0.4 s.
STARTUP = 0.4
JITTER = 0.4
_RATE = 100


class Clock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass(frozen=True)
class Utterance:
    """What was drawn: seconds of work for each chunk, the start-up in the first."""

    works: tuple[float, ...]

    @property
    def seconds(self) -> float:
        return len(self.works) * CHUNK

    @property
    def chunks(self) -> list[tuple[float, float]]:
        """Seconds of work and of audio."""
        return [(work, CHUNK) for work in self.works]


def draw(rng: random.Random, rtf: float, persistent: bool) -> Utterance:
    """An utterance of 3 to 60 s; every chunk off by up to 40 %, each on its own or all alike."""
    count = round(rng.uniform(3, 60) / CHUNK)
    alike = rng.uniform(1 - JITTER, 1 + JITTER)
    works = [rtf * CHUNK * (alike if persistent else rng.uniform(1 - JITTER, 1 + JITTER)) for _ in range(count)]
    works[0] += STARTUP * rng.uniform(1 - JITTER, 1 + JITTER)
    return Utterance(tuple(works))


def listen(utterance: Utterance, settings: StreamSettings) -> tuple[PacedStream, int]:
    """The utterance through the real pacing; and the gaps nothing could have covered."""
    clock = Clock()

    def voice() -> Iterator[Audio]:
        for work in utterance.works:
            clock.sleep(work)
            yield Audio.of(np.zeros((1, int(CHUNK * _RATE)), np.float32), _RATE)

    live = PacedStream(voice(), settings, expected_seconds=utterance.seconds, clock=clock, sleep=clock.sleep)
    for _ in live:
        pass
    return live, len(gaps_at_best(utterance.chunks, settings.first_audio))


@dataclass(frozen=True)
class Row:
    """One tier at one speed and one kind of jitter. Times in seconds."""

    tier: str
    rtf: float
    jitter: str
    utterances: int
    seed: int
    first_audio_median: float
    first_audio_95: float
    first_audio_max: float
    first_audio_allowed: float
    avoidable_gaps: int
    utterances_with_unavoidable_gaps: int
    gap_seconds: float
    slower_than_real_time: int
    said_so: int
    utilisation_mean: float
    utilisation_range: tuple[float, float]
    in_range: int
    fast_enough_to_rest: int
    in_range_of_those: int
    out_of_range_said: int


def tier_settings(name: str) -> StreamSettings:
    return StreamSettings.of(load_tier([Path(conf_dir())], name))


def row(tier: str, share: float, persistent: bool, count: int, seed: int) -> Row:
    """`count` utterances at `share` of the tier's real-time factor."""
    settings, rng = tier_settings(tier), random.Random(f"{tier} {share} {persistent} {seed}")
    rtf = settings.real_time_factor * share
    detected = []
    for _ in range(count):
        utterance = draw(rng, rtf, persistent)
        live, at_best = listen(utterance, settings)
        detected.append((live.report(), at_best))
    first = np.array([report.first_audio for report, _ in detected])
    slow = [report for report, _ in detected if report.real_time_factor > 1]
    low, high = settings.utilisation_range
    inside = [report for report, _ in detected if report.in_range]
    outside = [report for report, _ in detected if not report.in_range]
    return Row(
        tier=tier,
        rtf=round(rtf, 3),
        jitter="persistent" if persistent else "independent",
        utterances=count,
        seed=seed,
        first_audio_median=round(float(np.median(first)), 3),
        first_audio_95=round(float(np.quantile(first, 0.95)), 3),
        first_audio_max=round(float(first.max()), 3),
        first_audio_allowed=settings.first_audio,
        avoidable_gaps=sum(len(report.gaps) for report, at_best in detected if not at_best),
        utterances_with_unavoidable_gaps=sum(1 for _, at_best in detected if at_best),
        gap_seconds=round(sum(report.gap_seconds for report, _ in detected), 3),
        slower_than_real_time=len(slow),
        said_so=sum(1 for report in slow if any("Slower than real time" in note for note in report.notes)),
        utilisation_mean=round(float(np.mean([report.utilisation for report, _ in detected])), 3),
        utilisation_range=(low, high),
        in_range=len(inside),
        # Where making takes more than four fifths of the range's upper end, rests to get there would leave next to no reserve.
        fast_enough_to_rest=sum(1 for report, _ in detected if report.real_time_factor <= 0.8 * high),
        in_range_of_those=sum(1 for report in inside if report.real_time_factor <= 0.8 * high),
        out_of_range_said=sum(1 for report in outside if any("Utilisation was" in note for note in report.notes)),
    )


def table(count: int, seeds: tuple[int, ...]) -> list[dict[str, object]]:
    """Every tier just under its real-time factor (99 %; every seed) and at half of it (one seed), with both kinds of jitter."""
    return [
        asdict(row(tier, share, persistent, count, seed))
        for tier in reversed(TIERS)
        for share in (0.99, 0.5)
        for seed in (seeds if share > 0.5 else seeds[:1])
        for persistent in (False, True)
    ]
