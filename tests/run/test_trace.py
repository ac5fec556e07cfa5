"""The trace and the picture say what the events said."""

import json
from pathlib import Path

import pytest

from pipelines.run.trace import spans, trace, write_memory_png, write_trace
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
def test_the_picture_is_drawn(tmp_path: Path, events: list[Event]) -> None:
    pytest.importorskip("matplotlib")
    write_memory_png(tmp_path / "memory.png", events, 400 * MIB, "ultrasinger")
    assert (tmp_path / "memory.png").read_bytes().startswith(b"\x89PNG")
