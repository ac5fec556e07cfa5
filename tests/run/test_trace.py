"""The trace and the picture say what the events said."""

import json
from pathlib import Path

import pytest

from pipelines.run import trace as module
from pipelines.run.trace import spans, trace, write_drawings, write_memory_png, write_trace
from pipelines.schema.record import Event
from pipelines.schema.units import MIB


def step(index: int, op: str, start: float, end: float, predicted: int, measured: int, **more: object) -> list[Event]:
    fields = {"index": index, "op": op, "predicted_peak_bytes": predicted * MIB, **more}
    done = {**fields, "measured_peak_bytes": measured * MIB, "source": "kernel", "seconds": end - start}
    return [Event("step_started", start, fields), Event("step_finished", end, done)]


LOAD = step(0, "load", 0.0, 1.0, 100, 90, model="demucs")
RUN = step(1, "run", 1.0, 3.0, 300, 280, tasks=["song/separate"])
PREFETCH = step(2, "load", 1.2, 2.0, 350, 340, model="whisper", during="song/separate")
EVENTS = sorted(
    [*LOAD, *RUN, *PREFETCH, Event("sample", 1.5, {"used_bytes": 200 * MIB}), Event("rung", 2.5, {"rung": "free"})],
    key=lambda event: event.seconds,
)


def test_steps_are_slices_on_their_lanes() -> None:
    rows = [row for row in trace(EVENTS, None)["traceEvents"] if row["ph"] == "X"]
    assert [(row["name"], row["tid"], row["ts"], row["dur"]) for row in rows] == [
        ("load demucs", 2, 0, 1_000_000),
        ("run song/separate", 1, 1_000_000, 2_000_000),
        ("load whisper", 2, 1_200_000, 800_000),
    ]
    assert rows[1]["args"] == {"predicted_bytes": 300 * MIB, "measured_bytes": 280 * MIB, "source": "kernel"}


def test_predicted_measured_limit_and_use_are_counters() -> None:
    rows = [row for row in trace(EVENTS, 400 * MIB)["traceEvents"] if row["ph"] == "C"]
    highest = {row["name"]: max(r["args"]["MiB"] for r in rows if r["name"] == row["name"]) for row in rows}
    assert highest == {"predicted MiB": 350, "measured MiB": 340, "limit MiB": 400, "in use MiB": 200}


def test_rungs_and_alerts_are_marks() -> None:
    (row,) = (row for row in trace(EVENTS, None)["traceEvents"] if row["ph"] == "i")
    assert (row["name"], row["ts"]) == ("rung", 2_500_000)


def test_a_step_that_never_ended_is_left_out() -> None:
    assert [span.name for span in spans(EVENTS[:-2])] == ["load demucs", "load whisper"]


def test_the_file_is_json(tmp_path: Path) -> None:
    write_trace(tmp_path / "trace.json", EVENTS, 400 * MIB)
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]


@pytest.mark.slow
@pytest.mark.parametrize("events", [EVENTS, []])
def test_the_picture_is_drawn(tmp_path: Path, events: list[Event], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    limits, real = list[float](), module._limit_line
    monkeypatch.setattr(module, "_limit_line", lambda axes, limit: (limits.append(limit), real(axes, limit))[1])
    write_memory_png(tmp_path / "memory.png", events, 400 * MIB, "ultrasinger")
    assert (tmp_path / "memory.png").read_bytes().startswith(b"\x89PNG")
    assert limits == [400]  # MiB, as the axis


def test_lanes_have_names_and_a_step_that_is_measured_nowhere_has_no_counter() -> None:
    bare = [
        Event("step_started", 1.0, {"index": 0}),
        Event("step_finished", 1.5, {"index": 0, "op": "unload", "model": "m"}),
    ]
    rows = trace(bare, None)["traceEvents"]
    assert [(row["tid"], row["args"]["name"]) for row in rows if row["ph"] == "M"] == [(1, "compute"), (2, "load")]
    assert [row for row in rows if row["ph"] == "C"] == []
    (row,) = (row for row in rows if row["ph"] == "X")
    assert (row["name"], row["cat"], row["tid"], row["ts"], row["dur"]) == ("unload m", "unload", 1, 10**6, 500_000)
    assert row["args"] == {"predicted_bytes": None, "measured_bytes": None, "source": ""}


def test_each_step_holds_its_peak_from_its_start_to_its_end() -> None:
    rows = [row for row in trace(RUN, 400 * MIB)["traceEvents"] if row["ph"] == "C"]
    assert [(row["name"], row["ts"], row["args"]["MiB"]) for row in rows] == [
        ("predicted MiB", 10**6, 300), ("predicted MiB", 3 * 10**6, 0),
        ("measured MiB", 10**6, 280), ("measured MiB", 3 * 10**6, 0),
        ("limit MiB", 0, 400), ("limit MiB", 3 * 10**6, 400),
    ]  # fmt: skip
    assert [row["args"]["MiB"] for row in trace([], 400 * MIB)["traceEvents"] if row["ph"] == "C"] == [400, 400]


def test_steps_of_several_tasks_name_them_all_and_none_ends_before_it_begins() -> None:
    (span,) = spans(step(0, "run", 2.0, 1.0, 1, 1, tasks=["a/x", "b/x"]))
    assert (span.name, span.start, span.end) == ("run a/x, b/x", 2.0, 2.0)


def test_a_step_is_ended_once() -> None:
    assert [(span.start, span.end) for span in spans([*LOAD, LOAD[1], *LOAD])] == [(0.0, 1.0), (0.0, 1.0)]


def test_drawings_are_made_as_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = list[object]()
    monkeypatch.setattr(module, "write_memory_png", lambda *given: drawn.append(given))
    write_drawings(tmp_path, EVENTS, 5, "title", picture=False)
    assert drawn == []
    assert (tmp_path / "trace.json").is_file()
    write_drawings(tmp_path, EVENTS, 5, "title", picture=True)
    assert drawn == [(tmp_path / "memory.png", EVENTS, 5, "title")]

    def missing(*_: object) -> None:
        raise ImportError("no matplotlib")

    monkeypatch.setattr(module, "write_memory_png", missing)
    write_drawings(tmp_path, EVENTS, 5, "title", picture=True)


class Axes:
    """What of matplotlib's axes draws a limit."""

    transAxes = "axes"  # noqa: N815 (matplotlib's name)

    def __init__(self, top: float) -> None:
        self.top, self.drawn = top, list[tuple[str, object]]()

    def get_ylim(self) -> tuple[float, float]:
        return 0.0, self.top

    def set_ylim(self, low: float, high: float) -> None:
        self.low, self.top = low, high

    def axhline(self, at: float, **style: str) -> None:
        self.drawn.append(("line", at))

    def text(self, x: float, y: float, text: str, **style: object) -> None:
        self.drawn.append(("text", text))


@pytest.mark.parametrize(
    ("limit", "drawn", "top"),
    [
        (50.0, ("line", 50.0), 100.0),
        (250.0, ("line", 250.0), 270.0),
        (250.1, ("text", "limit: 250 MiB"), 120.0),
        (5000.0, ("text", "limit: 5,000 MiB"), 120.0),
    ],
)
def test_a_limit_far_above_does_not_flatten_the_rest(limit: float, drawn: object, top: float) -> None:
    axes = Axes(100.0)
    module._limit_line(axes, limit)
    assert axes.drawn == [drawn]
    assert (axes.low, axes.top) == (0, pytest.approx(top))
