"""`trace.json` and `memory.png` from a run's events: what ran when, and predicted, measured and limit in bytes beside it.

The trace is in the Chrome format, which Perfetto (ui.perfetto.dev) and chrome://tracing open. Times there are whole
microseconds, counters are MiB.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.schema.record import Event
from pipelines.schema.units import MIB

_COMPUTE, _LOAD = 1, 2
_LANES = {_COMPUTE: "compute", _LOAD: "load"}
_INSTANT = {"rung", "replan", "alert", "warning", "task_failed", "task_skipped"}


@dataclass(frozen=True, slots=True)
class Span:
    """One step as it happened: times in seconds since the run began, bytes as planned and measured."""

    name: str
    op: str
    start: float
    end: float
    lane: int
    predicted: int | None
    measured: int | None
    source: str = ""


def spans(events: Iterable[Event]) -> list[Span]:
    """The steps among `events`, in order of their start. A step that never ended is left out."""
    open_steps: dict[int, Event] = {}
    found = []
    for event in events:
        if event.kind == "step_started":
            open_steps[event.data["index"]] = event
        elif event.kind == "step_finished" and event.data["index"] in open_steps:
            found.append(_span(open_steps.pop(event.data["index"]), event))
    return sorted(found, key=lambda span: (span.start, span.end))


def trace(events: Sequence[Event], limit_bytes: int | None) -> dict[str, Any]:
    """The whole trace as a JSON object."""
    rows: list[dict[str, Any]] = [
        {"ph": "M", "name": "thread_name", "pid": 1, "tid": lane, "args": {"name": name}}
        for lane, name in _LANES.items()
    ]
    steps = spans(events)
    rows += [_slice(span) for span in steps]
    rows += list(_counters(events, steps, limit_bytes))
    rows += [
        {"ph": "i", "name": event.kind, "s": "g", "pid": 1, "tid": _COMPUTE, "ts": _micro(event.seconds),
         "args": dict(event.data)}
        for event in events
        if event.kind in _INSTANT
    ]  # fmt: skip
    return {"displayTimeUnit": "ms", "traceEvents": rows}


def write_drawings(
    folder: Path, events: Sequence[Event], limit_bytes: int | None, title: str, *, picture: bool
) -> None:
    """`trace.json` for Perfetto, and `memory.png` where matplotlib is installed and a picture is wanted."""
    write_trace(folder / "trace.json", events, limit_bytes)
    if picture:
        try:
            write_memory_png(folder / "memory.png", events, limit_bytes, title)
        except ImportError:
            return


def write_trace(path: Path, events: Sequence[Event], limit_bytes: int | None) -> None:
    """Write `trace.json`."""
    path.write_text(json.dumps(trace(events, limit_bytes), default=str), encoding="utf-8")


def write_memory_png(path: Path, events: Sequence[Event], limit_bytes: int | None, title: str = "") -> None:
    """Draw memory over time with the limit line. Needs matplotlib (the extra `report`); `ImportError` without it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for span in spans(events):
        for value, colour, label in (
            (span.predicted, "tab:orange", "planned"),
            (span.measured, "tab:blue", "measured"),
        ):
            if value is not None:
                axes.plot([span.start, span.end], [value / MIB] * 2, color=colour, label=label, linewidth=2)
    samples = [event for event in events if event.kind == "sample"]
    if samples:
        used = [event.data["used_bytes"] / MIB for event in samples]
        axes.fill_between([event.seconds for event in samples], used, color="tab:blue", alpha=0.15, label="in use")
    axes.set(xlabel="seconds", ylabel="MiB", title=title, ylim=(0, None))
    if limit_bytes is not None:
        _limit_line(axes, limit_bytes / MIB)
    shown = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    if shown:
        # Beside the axes: inside them it would hide what it explains.
        axes.legend(shown.values(), shown.keys(), loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
    figure.savefig(path, dpi=120)


def _limit_line(axes: Any, limit: float) -> None:
    """The limit, or where it is so far above that it would flatten everything else, a word that says so."""
    top = axes.get_ylim()[1]
    if limit <= 2.5 * top:
        axes.axhline(limit, color="tab:red", label="limit")
        axes.set_ylim(0, max(top, 1.08 * limit))
        return
    axes.set_ylim(0, 1.2 * top)
    axes.text(0.99, 0.97, f"limit: {limit:,.0f} MiB", color="tab:red", ha="right", va="top", transform=axes.transAxes)


def _span(begun: Event, ended: Event) -> Span:
    data = ended.data
    name = data.get("model") or ", ".join(data.get("tasks", ()))
    return Span(
        name=f"{data['op']} {name}",
        op=data["op"],
        start=begun.seconds,
        end=max(ended.seconds, begun.seconds),
        lane=_LOAD if data["op"] == "load" else _COMPUTE,
        predicted=data.get("predicted_peak_bytes"),
        measured=data.get("measured_peak_bytes"),
        source=data.get("source", ""),
    )


def _slice(span: Span) -> dict[str, Any]:
    fields = {"predicted_bytes": span.predicted, "measured_bytes": span.measured, "source": span.source}
    return {
        "ph": "X", "name": span.name, "cat": span.op, "pid": 1, "tid": span.lane, "ts": _micro(span.start),
        "dur": _micro(span.end) - _micro(span.start), "args": fields,
    }  # fmt: skip


def _counters(events: Sequence[Event], steps: Sequence[Span], limit_bytes: int | None) -> Iterator[dict[str, Any]]:
    """Steps hold their peak for their whole length; samples say what was in use between."""
    for span in steps:
        for name, value in (("predicted", span.predicted), ("measured", span.measured)):
            if value is not None:
                yield _counter(name, span.start, value)
                yield _counter(name, span.end, 0)
    ends = [0.0, max((event.seconds for event in events), default=0.0)]
    if limit_bytes is not None:
        yield from (_counter("limit", at, limit_bytes) for at in ends)
    for event in events:
        if event.kind == "sample":
            yield _counter("in use", event.seconds, event.data["used_bytes"])


def _counter(name: str, seconds: float, count: int) -> dict[str, Any]:
    return {"ph": "C", "name": f"{name} MiB", "pid": 1, "ts": _micro(seconds), "args": {"MiB": round(count / MIB, 3)}}


def _micro(seconds: float) -> int:
    return round(seconds * 1e6)
