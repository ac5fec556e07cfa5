"""What the measuring process reports, of a node and a device whose every byte and second are set."""

import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pipelines.devices.protocol import Device, Process, Reading
from pipelines.footprints import measurement_process
from pipelines.footprints.measurement_process import measure_node
from pipelines.schema.errors import ExitCode
from pipelines.schema.hardware import MemoryKind
from pipelines.schema.node import Context, Inputs, Node, Outputs, Place, Port
from pipelines.schema.values import Audio, Text
from tests.run.standins.known import Known

CONTEXT, WEIGHTS, LOAD_PEAK, BASE, SLOPE, RESULT = 1000, 300, 450, 40, 7, 5
SIZE = {"seconds": 0.0, "channels": 1, "characters": 0, "knobs": {}}


@dataclass
class Bytes(Device):
    """Memory that is set: `used` now, of which `loose` is given back by a `reclaim`, `peak` since a watch began."""

    kind: ClassVar[str] = "bytes"
    memory: ClassVar[MemoryKind] = "host"
    name: str = "bytes"
    torch_device: str = "bytes:0"
    total_bytes: int = 10**6
    limit_bytes: int | None = None
    used: int = 200
    loose: int = 0
    peak: int = 0
    clock: float = 100.0
    calls: list[str] = field(default_factory=list)

    def take(self, size: int) -> None:
        self.used += size
        self.peak = max(self.peak, self.used)

    def used_bytes(self) -> int:
        return self.used

    def others(self) -> tuple[Process, ...]:
        return ()

    @contextmanager
    def watch(self, declared_bytes: int = 0) -> Iterator[Reading]:
        self.peak = self.used
        reading = Reading(start_bytes=self.used)
        yield reading
        reading.end_bytes, reading.peak_bytes, reading.source = self.used, self.peak, "set"

    def reclaim(self) -> None:
        self.used, self.loose = self.used - self.loose, 0

    def loaded(self, key: str, declared_bytes: int, made: Any = None) -> None:
        self.calls.append(f"loaded {key} {declared_bytes} {made}")

    def unloaded(self, key: str) -> None:
        self.calls.append(f"unloaded {key}")


@dataclass
class Subject:
    """A node that takes what the constants say. keeps: bytes that each run leaves behind; leak: that each unload does."""

    device: Bytes
    knobs: Mapping[str, Any]
    log: list[Any]
    inputs: ClassVar[Mapping[str, Port]] = {"audio": Port("audio"), "text": Port("text")}
    outputs: ClassVar[Mapping[str, Port]] = {}

    def load(self, place: Place) -> str:
        first = not any(entry[0] == "load" for entry in self.log)
        self.log.append(("load", place))
        self.device.clock += 9.0 if first else 2.0
        self.device.take((CONTEXT if first else 0) + LOAD_PEAK)
        self.device.used -= LOAD_PEAK - WEIGHTS
        self.device.loose += self.knobs.get("crumbs", 0)
        self.device.take(self.knobs.get("crumbs", 0))
        return "model"

    def run(self, model: Any, inputs: Inputs, context: Context) -> Outputs:
        audio, text = inputs["audio"], inputs["text"]
        assert isinstance(audio, Audio)
        assert isinstance(text, Text)
        assert model == "model"
        self.log.append(("run", audio.seconds, audio.channels, len(text.text), context.device))
        if self.knobs.get("gives"):
            self.device.used -= self.knobs["gives"]
            return {}
        workspace = BASE + round(SLOPE * audio.seconds) * self.knobs.get("batch", 1)
        self.device.take(workspace + RESULT)
        self.device.used -= workspace
        self.device.loose += RESULT
        self.device.take(self.knobs.get("keeps", 0))
        self.device.clock += audio.seconds
        return {}

    def unload(self, model: Any) -> None:
        self.log.append(("unload", model))
        self.device.loose += WEIGHTS - self.knobs.get("leak", 0)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Measure a node of these knobs at some sizes: (answer, the device, what happened, what the node class was asked by)."""

    def measure(sizes: Sequence[Mapping[str, Any]], *, weights: str | None = None, **knobs: Any) -> Any:
        device, log, asked = Bytes(), list[Any](), list[Any]()
        monkeypatch.setattr(measurement_process.time, "perf_counter", lambda: device.clock)

        def make(target: str, given: Mapping[str, Any], trusted: tuple[str, ...]) -> Node:
            asked.append((target, trusted))
            return Subject(device, given, log)

        request = {"target": "a.Node", "knobs": knobs, "sizes": [SIZE | size for size in sizes]}
        request |= {"weights": weights, "trusted": ["a", "b"]}
        return measure_node(request, device, make), device, log, asked

    return measure


def test_a_load_is_its_peak_and_its_weights_and_what_libraries_keep_is_context(measured: Any) -> None:
    answer, device, _, _ = measured([{"seconds": 1.0}])
    assert answer["loads"] == [{"bytes": LOAD_PEAK, "held": WEIGHTS, "seconds": 2.0, "source": "set"}]
    assert (answer["context"], answer["leaked"]) == (CONTEXT, 0)
    assert answer["first_load_seconds"] == 9.0
    assert device.calls == ["loaded measured 0 model", "unloaded measured"] * 2


def test_runs_are_reported_as_they_were_wanted_each_above_the_loaded_model(measured: Any) -> None:
    answer, _, _, _ = measured([{"seconds": 4.0}, {"seconds": 2.0}])
    workspaces = [BASE + SLOPE * seconds + RESULT for seconds in (4, 2)]
    assert [run["bytes"] for run in answer["runs"]] == workspaces
    assert [run["seconds"] for run in answer["runs"]] == [4.0, 2.0]
    assert {run["held"] for run in answer["runs"]} == {RESULT}


def test_the_smallest_size_warms_up_and_the_largest_comes_before_all_that_count(measured: Any) -> None:
    _, _, log, _ = measured([{"seconds": 2.0}, {"seconds": 1.0, "channels": 2}, {"seconds": 3.0}])
    assert [entry[1] for entry in log if entry[0] == "run"] == [1.0, 3.0, 2.0, 1.0, 3.0]
    assert [entry[0] for entry in log] == ["load", "run", "unload", "load", *["run"] * 4, "unload"]


def test_the_longest_text_is_the_largest_where_no_size_has_seconds(measured: Any) -> None:
    _, _, log, _ = measured([{"characters": 30}, {"characters": 90}, {"characters": 10}])
    assert [entry[3] for entry in log if entry[0] == "run"] == [10, 90, 30, 90, 10]


def test_a_run_is_given_the_size_the_knobs_and_the_device_it_was_asked_for(measured: Any) -> None:
    answer, _, log, asked = measured(
        [{"seconds": 1.0, "channels": 2, "characters": 12, "knobs": {"batch": 3}}], batch=1
    )
    assert ("run", 1.0, 2, 12, "bytes:0") in log
    assert answer["runs"][0]["bytes"] == BASE + SLOPE * 3 + RESULT
    assert set(asked) == {("a.Node", ("a", "b"))}


@pytest.mark.parametrize(("weights", "place"), [(None, None), ("/some/where", Path("/some/where"))])
def test_weights_are_loaded_from_where_they_were_found(measured: Any, weights: str | None, place: Path | None) -> None:
    _, _, log, _ = measured([{"seconds": 1.0}], weights=weights)
    assert [entry[1] for entry in log if entry[0] == "load"] == [Place("bytes:0", place)] * 2


def test_what_an_unload_does_not_give_back_is_a_leak(measured: Any) -> None:
    answer, _, _, _ = measured([{"seconds": 1.0}], leak=60)
    assert answer["leaked"] == 60
    assert answer["context"] == CONTEXT + 60  # of the first load nobody can tell it from what libraries keep


def test_what_a_load_has_dropped_is_no_weight(measured: Any) -> None:
    answer, _, _, _ = measured([{"seconds": 1.0}], crumbs=20)
    assert answer["loads"][0]["held"] == WEIGHTS


def test_what_earlier_runs_keep_counts_in_every_later_one(measured: Any) -> None:
    answer, _, _, _ = measured([{"seconds": 1.0}, {"seconds": 1.0}], keeps=10)
    # The run of the largest size came before both.
    assert [run["bytes"] for run in answer["runs"]] == [10 + BASE + SLOPE + RESULT, 20 + BASE + SLOPE + RESULT]


def test_a_run_that_takes_nothing_takes_nothing(measured: Any) -> None:
    answer, _, _, _ = measured([{"seconds": 1.0}], gives=10)
    assert (answer["runs"][0]["bytes"], answer["runs"][0]["held"]) == (0, 0)


def answered(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **request: Any) -> Any:
    """What the process says to a request for `tests.run.standins.known`, on the CPU."""
    usual = {"knobs": {}, "weights": None, "trusted": ["tests.run.standins"], "device": {"spec": "cpu"}}
    text = json.dumps(usual | {"sizes": [SIZE | {"seconds": 1.0}]} | request)
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    print("a library's last words", end="")
    measurement_process.main()
    last = capsys.readouterr().out.splitlines()[-1]
    return json.loads(last)["headroom"]


def test_the_answer_is_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    known = "tests.run.standins.known.Known"
    answer = answered(monkeypatch, capsys, target=known, knobs={"weights": 8, "base": 1, "slope": 1.0})
    assert len(answer["runs"]) == 1
    assert answer["loads"][0]["source"] == "kernel"


@pytest.mark.parametrize(
    ("error", "code"),
    [(ValueError("no such song"), ExitCode.TASK_FAILED), (MemoryError("no room"), ExitCode.OUT_OF_MEMORY)],
)
def test_what_the_node_raises_is_the_answer_and_says_whether_memory_ran_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, code: ExitCode
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Known, "load", fail)
    answer = answered(monkeypatch, capsys, target="tests.run.standins.known.Known")
    assert answer == {"error": f"{type(error).__name__}: {error}", "exit_code": code}


def test_a_device_that_cannot_be_is_the_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = answered(monkeypatch, capsys, target="tests.run.standins.known.Known", device={"spec": "simulated"})
    assert "needs a size" in answer["error"]


def test_the_device_is_opened_in_the_wanted_size_and_what_it_measures_with_is_there_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Exact(Bytes):
        measured_with = ("a_module", "another")

    imported, opened = list[str](), list[object]()
    monkeypatch.setattr(measurement_process, "import_module", imported.append)
    monkeypatch.setattr(measurement_process, "open_device", lambda spec, total: opened.append((spec, total)) or Exact())
    known, device = "tests.run.standins.known.Known", {"spec": "card", "total": 7}
    assert {run["source"] for run in answered(monkeypatch, capsys, target=known, device=device)["runs"]} == {"set"}
    assert (opened, imported) == ([("card", 7)], ["a_module", "another"])
