"""How a stream went: figures for the record and the same as lines of text. Measures nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.stream.playback import Gap


@dataclass(frozen=True, slots=True)
class StreamReport:
    """How a stream went. All times are in seconds since the request.

    first_audio: when playback began; None where no sound was made. real_time_factor: seconds of work for a second of audio.
    utilisation: the part of the time that was work, the rest being rests. in_range: whether that lies in the tier's range.
    avoidable_gaps: those that a larger prebuffer would have prevented. notes: what could not be achieved, in sentences.
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
        """Seconds of silence in all gaps together."""
        return sum(gap.seconds for gap in self.gaps)


def render(report: Mapping[str, Any]) -> tuple[str, ...]:
    """A report, as `StreamReport.to_dict` gives it, as lines of text for a person."""
    first, gaps = report["first_audio_seconds"], "no gaps"
    began = (
        "no sound"
        if first is None
        else f"first audio after {first:.2f} s ({report['prebuffer_seconds']:.2f} s buffered)"
    )
    if report["gaps"]:
        gaps = f"{gap_text(report['gaps'], report['gap_seconds'])}, {report['avoidable_gaps'] or 'none'} avoidable"
    low, high = report["utilisation_range"]
    held = "" if report["paced"] else "; stream.pace=true holds it"
    used = f"utilisation {report['utilisation']:.2f} (tier {low:.2f}-{high:.2f}{held})"
    return (
        f"{began}, {gaps}, real-time factor {report['real_time_factor']:.2f}",
        f"{report['audio_seconds']:.1f} s in {_chunks(report['chunks'])}, {used}",
        *report["notes"],
    )


def summary(reports: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """The reports of a run, by task, as few lines: a single stream in full, of several the worst of each figure."""
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


def gap_text(count: int, seconds: float) -> str:
    """`2 gaps of 0.40 s together`."""
    return f"1 gap of {seconds:.2f} s" if count == 1 else f"{count} gaps of {seconds:.2f} s together"


def _chunks(count: int) -> str:
    return f"{count} chunk{'s' * (count != 1)}"
