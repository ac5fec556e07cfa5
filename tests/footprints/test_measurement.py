"""Measured footprints of nodes whose bytes are known."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.footprints.measurement import Size, measure, sizes_for
from pipelines.footprints.regression import NOISE
from pipelines.footprints.store import Observation
from pipelines.footprints.synthetic import synthetic_inputs
from pipelines.schema.config import Item, Variant
from pipelines.schema.errors import OutOfMemory, SurroundingsFailed, TaskFailed, UsageError
from pipelines.schema.node import Port
from pipelines.schema.units import GIB, MIB
from pipelines.schema.values import Audio
from pipelines.worker.processes import death_sentence

HERE = "tests.run.standins"


@pytest.fixture(autouse=True)
def _reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2]), *sys.path])


def variant(name: str = "Known", **knobs: object) -> Variant:
    return Variant(f"test/{name}", "test", f"{HERE}.known.{name}", knobs=knobs)


def test_a_known_node_is_measured_to_within_the_noise() -> None:
    found = measure(variant(weights=160, base=40, slope=24.0), (1, 2, 4, 8), trusted=[HERE])
    assert found.source == "kernel"
    assert found.weights_bytes == pytest.approx(160 * MIB, abs=8 * MIB)
    assert found.load_peak_bytes == pytest.approx(160 * MIB, abs=8 * MIB)
    predicted = found.regression.predict(Item("x", seconds=20), {"batch": 1})
    assert abs(predicted - 520 * MIB) <= max(0.1 * 520 * MIB, NOISE)
    assert found.leaked_bytes < 8 * MIB


def test_batches_are_knobs_of_a_size() -> None:
    sizes = [Size(seconds=s, knobs={"batch": b}) for s, b in ((1, 1), (4, 1), (4, 4), (2, 8))]
    found = measure(variant(base=10, slope=10.0), sizes, trusted=[HERE])
    assert found.regression.predict(Item("x", seconds=5), {"batch": 8}) == pytest.approx(410 * MIB, rel=0.1)


def test_a_leak_is_seen() -> None:
    assert measure(variant(leak=64), (1,), trusted=[HERE]).leaked_bytes >= 60 * MIB


@pytest.mark.slow
def test_on_a_simulated_card_tensors_are_counted() -> None:
    device = {"spec": "simulated", "total": GIB}
    found = measure(variant("Linear", width=2048, rows=512), (1,), trusted=[HERE], device=device)
    assert found.source == "tracked"
    assert found.weights_bytes == 4 * 2048 * 2048
    assert found.observations[-1].bytes == 2 * 4 * 512 * 2048


@pytest.mark.parametrize(
    ("what", "error", "words"),
    [
        ("raise", TaskFailed, "not to my taste"),
        ("kill", TaskFailed, "SIGKILL"),
        ("segfault", TaskFailed, "SIGSEGV"),
        ("memory", OutOfMemory, "could not be measured"),
    ],
)
def test_a_node_that_fails_is_a_sentence(what: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        measure(variant("Misbehaving", what=what), (1,), trusted=[HERE])


def test_a_class_outside_the_trusted_packages_is_not_imported() -> None:
    with pytest.raises(TaskFailed, match="not allowed"):
        measure(Variant("x/y", "x", "os.system"), (1,))


def test_made_up_inputs_have_the_size_asked_for() -> None:
    ports = {"a": Port("audio"), "w": Port("words"), "c": Port("contour"), "n": Port("notes"), "t": Port("text")}
    made = synthetic_inputs(ports, Item("x", seconds=3, channels=2, characters=100))
    assert (made["a"].channels, made["a"].seconds) == (2, 3)
    assert len(made["t"].text) == 100
    assert made["c"].times[-1] == pytest.approx(3, abs=0.02)
    with pytest.raises(UsageError, match="cannot be made up"):
        synthetic_inputs({"f": Port("file")}, Item("x"))


@pytest.mark.parametrize(("code", "words"), [(3, "exit code 3"), (-9, "SIGKILL"), (-11, "SIGSEGV"), (None, "answer")])
def test_deaths_are_named(code: int | None, words: str) -> None:
    assert words in death_sentence(code, "it")


def test_a_text_is_measured_by_its_characters_and_sound_by_its_seconds() -> None:
    assert sizes_for("speak", [2.0]) == [Size(characters=28)]
    assert sizes_for("convert", [2.0]) == [Size(2.0)]
    voice = synthetic_inputs({"voice": Port("audio", optional=True)}, Size(characters=28).item())["voice"]
    assert isinstance(voice, Audio)
    assert voice.seconds == 6.0


def test_another_interpreter_is_measured_in(tmp_path: Path) -> None:
    """As for a variant with an environment of its own: its python, our packages, and of the rest numpy only."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexport OWN_ENVIRONMENT=yes\nexec {sys.executable} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    with pytest.raises(TaskFailed, match="here is yes"):
        measure(variant("Elsewhere"), (1,), trusted=[HERE], python=python)


class Answering:
    """In place of the measuring process: keeps what it was asked, and says `answer`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answer: object) -> None:
        loads = [{"bytes": 400, "held": 300, "seconds": 2.0, "source": "kernel"}]
        runs = [{"bytes": size, "held": 5, "seconds": 0.5, "source": "sampled"} for size in (70, 90)]
        self.answer = {"context": 9, "leaked": 4, "first_load_seconds": 7.0, "loads": loads, "runs": runs} | answer
        self.before, self.code = "", 0
        monkeypatch.setattr("pipelines.footprints.measurement.subprocess.run", self.run)

    def run(self, command: list[str], **given: Any) -> SimpleNamespace:
        self.command, self.given, self.request = command, given, json.loads(given["input"])
        if self.code:
            return SimpleNamespace(stdout=self.before, stderr="its last words", returncode=self.code)
        said = f"{self.before}\n{json.dumps({'headroom': self.answer})}\n"
        return SimpleNamespace(stdout=said, stderr="", returncode=0)


def test_an_answer_becomes_a_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    Answering(monkeypatch)
    knobs = {"segment": 6, "other": 1}
    found = measure(variant(**knobs), [Size(3.0, 2), Size(characters=40, knobs={"batch": 4, "segment": 0})])
    assert (found.weights_bytes, found.load_peak_bytes) == (300, 400)
    assert (found.context_bytes, found.leaked_bytes) == (9, 4)
    assert (found.load_seconds, found.reload_seconds, found.source) == (7.0, 2.0, "sampled")
    assert found.observations == (
        Observation("load", 400, 2.0, held_bytes=300, source="kernel"),
        Observation("run", 70, 0.5, 5, item_seconds=3.0, channels=2, batch=1.0, segment=6.0, source="sampled"),
        Observation("run", 90, 0.5, 5, characters=40, batch=4.0, source="sampled"),
    )
    assert found.regression.samples == 2


def test_what_is_held_after_a_load_was_its_peak_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    Answering(monkeypatch, loads=[{"bytes": 200, "held": 300, "seconds": 2.0, "source": "kernel"}])
    assert measure(variant(), (1, 2)).load_peak_bytes == 300


def test_what_is_asked_of_the_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    process = Answering(monkeypatch)
    measure(variant(batch=2), (1, Size(2.0, 2, knobs={"batch": 8})), weights=tmp_path, device={"spec": "x", "total": 3})
    assert process.request == {
        "target": f"{HERE}.known.Known",
        "knobs": {"batch": 2},
        "weights": str(tmp_path),
        "device": {"spec": "x", "total": 3},
        "trusted": ["nodes"],
        "sizes": [
            {"seconds": 1.0, "channels": 1, "characters": 0, "knobs": {}},
            {"seconds": 2.0, "channels": 2, "characters": 0, "knobs": {"batch": 8}},
        ],
    }
    assert process.given["timeout"] == 1800
    assert process.command[0] == sys.executable
    with pytest.raises(ValueError, match="zip"):  # sizes of its own: four, of which this process answers two
        measure(variant())
    assert [size["seconds"] for size in process.request["sizes"]] == [2.0, 5.0, 10.0, 20.0]
    assert (process.request["device"], process.request["weights"]) == ({"spec": "cpu"}, None)


def test_what_a_library_prints_before_the_answer_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Answering(monkeypatch)
    process.before = 'warning: {"headroom": 1}\n{"other": 2}'
    assert measure(variant(), (1, 2)).weights_bytes == 300


def test_the_end_of_what_a_process_that_died_has_said_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Answering(monkeypatch)
    process.before, process.code = '{"headroom": "no object"}', 3
    with pytest.raises(TaskFailed, match=r"exit code 3.*its last words"):
        measure(variant(), (1, 2))


def test_what_takes_too_long_is_ended_with_a_sentence() -> None:
    with pytest.raises(SurroundingsFailed, match=r"Measuring test/Misbehaving took longer than 0 s; try smaller sizes"):
        measure(variant("Misbehaving", what="hang"), (1,), trusted=[HERE], timeout_seconds=0.1)
