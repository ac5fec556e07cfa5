"""python -m benchmarks.picture RUN_FOLDER > docs/images/run.svg: the timeline of a run, from its `events.jsonl`.

Above, a bar for each step: loads in one lane, tasks and unloads in the other. Below, planned and measured peak of each
step in MiB, under the limit.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

MIB = 1 << 20
LEFT, RIGHT, WIDTH, HEIGHT = 70, 20, 900, 330
LANES = {"load": 40, "run": 75, "unload": 75}
COLOURS = {"load": "#8250df", "run": "#1f77b4", "unload": "#999999"}
TOP, BOTTOM = 140, 290


@dataclass(frozen=True, slots=True)
class Bar:
    """A step as it happened: seconds since the run began, bytes as planned and measured."""

    op: str
    name: str
    start: float
    end: float
    planned: int
    measured: int


def bars(events: Sequence[dict[str, Any]]) -> list[Bar]:
    """The steps that ended, in order of their start."""
    started = {event["index"]: event["at"] for event in events if event["event"] == "step_started"}
    found = [
        Bar(
            event["op"],
            event.get("model") or ", ".join(event["tasks"]),
            started[event["index"]],
            event["at"],
            event["predicted_peak_bytes"],
            event["measured_peak_bytes"],
        )
        for event in events
        if event["event"] == "step_finished"
    ]
    return sorted(found, key=lambda bar: bar.start)


def draw(steps: Sequence[Bar], limit: int) -> str:
    """The picture as SVG text."""
    seconds = max(bar.end for bar in steps)
    across = (WIDTH - LEFT - RIGHT) / seconds
    upward = (BOTTOM - TOP) / (1.1 * limit)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        *_lanes(steps, across),
        *_memory(steps, across, upward),
        _line(LEFT, WIDTH - RIGHT, BOTTOM - limit * upward, "#d62728"),
        _text(WIDTH - RIGHT, BOTTOM - limit * upward - 5, f"limit {limit / MIB:,.0f} MiB", "#d62728", "end"),
        _line(LEFT, WIDTH - RIGHT, BOTTOM, "#444444"),
        *(_text(LEFT + tick * across, BOTTOM + 16, f"{tick} s", "#444444", "middle") for tick in _ticks(seconds)),
        _text(LEFT, HEIGHT - 6, "planned peak of each step", "#e08214"),
        _text(LEFT + 170, HEIGHT - 6, "measured peak", "#1f77b4"),
        "</svg>",
    ]
    return "\n".join(parts)


def _lanes(steps: Sequence[Bar], across: float) -> Iterator[str]:
    yield _text(LEFT - 8, LANES["load"] + 15, "load", "#444444", "end")
    yield _text(LEFT - 8, LANES["run"] + 15, "compute", "#444444", "end")
    for bar in steps:
        x, width = LEFT + bar.start * across, max(2.0, (bar.end - bar.start) * across)
        y = LANES[bar.op]
        yield f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="22" fill="{COLOURS[bar.op]}" stroke="white"/>'
        name = bar.name.rpartition("/")[2]
        if width > 7.5 * len(name):
            yield _text(x + 4, y + 15, name, "white")
        elif bar.op == "load":
            yield _text(x, y - 6 - 14 * (bar is steps[0]), name, COLOURS["load"])


def _memory(steps: Sequence[Bar], across: float, upward: float) -> Iterator[str]:
    yield _text(LEFT - 8, TOP + 12, "MiB", "#444444", "end")
    for bar in steps:
        ends = LEFT + bar.start * across, LEFT + max(bar.end, bar.start + 2 / across) * across
        yield _line(*ends, BOTTOM - bar.planned * upward, "#e08214", 3)
        yield _line(*ends, BOTTOM - bar.measured * upward, "#1f77b4", 3)


def _ticks(seconds: float) -> range:
    return range(0, int(seconds) + 1, max(1, round(seconds / 8)))


def _line(x1: float, x2: float, y: float, colour: str, width: int = 1) -> str:
    return f'<path d="M{x1:.1f} {y:.1f}H{x2:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def _text(x: float, y: float, text: str, colour: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}">{escape(text)}</text>'


def main() -> int:
    """Print the picture of the run folder that was named."""
    text = (Path(sys.argv[1]) / "events.jsonl").read_text(encoding="utf-8")
    events = [json.loads(line) for line in text.splitlines()]
    limit = next(event["limit_bytes"] for event in events if event["event"] == "run_started")
    print(draw(bars(events), limit))
    return 0


if __name__ == "__main__":
    sys.exit(main())
