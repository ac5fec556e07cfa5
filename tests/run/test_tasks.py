"""One task from its inputs to its outputs on disk: what the node is given, what it must give, and how it may end."""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from benchmarks.memory.harness import Bench
from pipelines.devices.simulated import SimulatedDevice
from pipelines.graph.build import Ports
from pipelines.run.artifacts import DONE, Artifacts
from pipelines.run.task_inputs import TaskInputs
from pipelines.run.tasks import TaskRunner, outputs_of
from pipelines.schema.errors import HeadroomError, Interrupted, OutOfMemory, TaskFailed
from pipelines.schema.node import Context, Inputs, Outputs, Plain, Port
from pipelines.schema.units import MIB
from pipelines.schema.values import Audio, Text

TEXTS: Mapping[str, Port] = {"text": Port("text")}


@dataclass
class Doing(Plain):
    """A node that does what it is told to."""

    inputs: ClassVar[Mapping[str, Port]] = TEXTS
    outputs: ClassVar[Mapping[str, Port]] = {"text": Port("text"), "more": Port("words", optional=True)}
    does: Callable[[Any, Inputs, Context], Any]
    calls: list[Context] = field(default_factory=list)

    def run(self, model: Any, inputs: Inputs, context: Context) -> Outputs:
        self.calls.append(context)
        made: Outputs = self.does(model, inputs, context)
        return made


class Saying(Doing):
    """Gives a hundred samples for each word of its text, word by word where it streams."""

    outputs: ClassVar[Mapping[str, Port]] = {"audio": Port("audio")}

    def stream(self, model: Any, inputs: Inputs, chunks: Iterator[Any] | None, context: Context) -> Iterator[Any]:
        for word in inputs["text"].text.split():  # type: ignore[union-attr]
            yield self.does(model, {"text": Text(word)}, context)["audio"]


class Doubling(Doing):
    """Gives its sound twice as loud, chunk by chunk where it streams."""

    inputs: ClassVar[Mapping[str, Port]] = {"audio": Port("audio")}
    outputs: ClassVar[Mapping[str, Port]] = {"audio": Port("audio")}

    def stream(self, model: Any, inputs: Inputs, chunks: Iterator[Any] | None, context: Context) -> Iterator[Any]:
        for chunk in chunks or ():
            yield self.does(model, {"audio": chunk}, context)["audio"]


def say(model: Any, inputs: Inputs, context: Context) -> Outputs:
    words = inputs["text"].text.split()  # type: ignore[union-attr]
    return {"audio": Audio.of(np.full(100 * len(words), 0.25), 100)}


def double(model: Any, inputs: Inputs, context: Context) -> Outputs:
    audio = inputs["audio"]
    assert isinstance(audio, Audio)
    return {"audio": Audio.of(audio.read() * 2, audio.rate)}


class Bed:
    """A runner of tasks of two nodes, `n0` and `n1`, and the events it emits."""

    def __init__(self, folder: Path, *nodes: Doing, **item: Any) -> None:
        job = Bench(((8 * MIB, MIB), (4 * MIB, MIB)), None).job()
        named = {f"n{at}": node for at, node in enumerate(nodes)}
        ports = {name: Ports(node.inputs, node.outputs) for name, node in named.items()}
        specs = tuple(
            replace(spec, inputs={"audio": "n0.audio"})
            if "audio" in ports.get(spec.name, Ports({}, {})).inputs
            else spec
            for spec in job.graph.pipeline.nodes
        )
        pipeline = replace(job.graph.pipeline, nodes=specs)
        graph = replace(job.graph, pipeline=pipeline, ports={**job.graph.ports, **ports})
        items = {"i0": replace(job.items["i0"], **item)}
        self.job = replace(job, graph=graph, nodes={**job.nodes, **named}, items=items, seed=3)  # type: ignore[arg-type]
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.artifacts, self.cancel, self.time = Artifacts(folder), threading.Event(), 0.0
        inputs = TaskInputs(self.job, self.artifacts, self._emit)
        device = SimulatedDevice(total_bytes=1000 * MIB, track=False)
        self.runner = TaskRunner(self.job, device, self.artifacts, inputs, self._emit, self.cancel, lambda: self.time)

    def _emit(self, kind: str, **data: Any) -> None:
        self.events.append((kind, data))

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [data for told, data in self.events if told == kind]

    def attempt(self) -> HeadroomError | None:
        return self.runner.attempt(["i0/n0"], ["model"])["i0/n0"]

    def attempt_both(self) -> dict[str, HeadroomError | None]:
        return self.runner.attempt(["i0/n0", "i0/n1"], ["first", "second"])


def louder(model: Any, inputs: Inputs, context: Context) -> Outputs:
    return {"text": Text(inputs["text"].text.upper() + "!")}  # type: ignore[union-attr]


def test_a_task_is_done_with_its_outputs_and_its_note_on_disk(tmp_path: Path) -> None:
    def slowly(model: Any, inputs: Inputs, context: Context) -> Outputs:
        assert model == "model"
        bed.time += 4.0
        return louder(model, inputs, context)

    bed = Bed(tmp_path, Doing(slowly), seconds=8.0)
    assert bed.attempt() is None
    assert bed.artifacts.value("i0", "n0", "text") == Text("X!")
    (event,) = bed.told("task_finished")
    assert (event["task"], event["seconds"], event["speed"]) == ("i0/n0", 4.0, 2.0)
    assert list(event["outputs"]) == ["text.json"]
    assert outputs_of(bed.artifacts, ["i0/n0"]) == {"i0/n0": ["i0/n0/text.json"]}


def test_what_has_no_length_has_no_speed(tmp_path: Path) -> None:
    bed = Bed(tmp_path, Doing(louder))
    bed.attempt()
    assert bed.told("task_finished")[0]["speed"] is None


def test_what_a_node_is_given_beside_its_inputs(tmp_path: Path) -> None:
    node = Doing(louder)
    bed = Bed(tmp_path, node, settings={"text": "x", "voice": "a"})
    bed.attempt()
    (context,) = node.calls
    assert (context.item, context.folder, context.device) == ("i0", tmp_path / "i0" / "n0", "cpu")
    assert context.seed == bed.job.task_seed("i0/n0")
    assert context.folder.is_dir()
    assert context.settings["voice"] == "a"
    assert not context.cancelled()
    bed.cancel.set()
    assert context.cancelled()


def test_a_node_on_another_device_is_told_of_that(tmp_path: Path) -> None:
    node = Doing(louder)
    bed = Bed(tmp_path, node)
    variants = {**bed.job.variants, "n0": replace(bed.job.variants["n0"], device="cuda:1")}
    runner = replace(bed.runner, job=replace(bed.job, variants=variants))
    assert runner.attempt(["i0/n0"], [None]) == {"i0/n0": None}
    assert node.calls[0].device == "cuda:1"


def test_progress_and_warnings_are_events_and_the_same_warning_comes_once(tmp_path: Path) -> None:
    def tell(model: Any, inputs: Inputs, context: Context) -> Outputs:
        for sentence in ("a", "b", "a"):
            context.warn(sentence)
        context.progress(0.5, "half")
        return louder(model, inputs, context)

    bed = Bed(tmp_path, Doing(tell))
    bed.attempt()
    assert bed.told("warning") == [{"task": "i0/n0", "text": "a"}, {"task": "i0/n0", "text": "b"}]
    assert bed.told("progress") == [{"task": "i0/n0", "fraction": 0.5, "note": "half"}]


def test_the_note_names_the_settings_that_were_read(tmp_path: Path) -> None:
    def read(model: Any, inputs: Inputs, context: Context) -> Outputs:
        context.settings.get("voice")
        return louder(model, inputs, context)

    bed = Bed(tmp_path, Doing(read), settings={"text": "x", "voice": "a", "speed": 2})
    bed.attempt()
    assert bed.artifacts.tracked_settings("i0", "n0") == {"voice"}


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ({}, "i0/n0 gave no 'text'"),
        (None, "i0/n0 gave no 'text'"),
        ({"text": "x"}, "gave 'text' as str, and its `outputs` promise Text"),
        ({"text": Text("x"), "more": Text("y")}, "gave 'more' as Text, and its `outputs` promise Words"),
    ],
)
def test_a_node_must_give_what_its_class_promises(tmp_path: Path, outputs: Any, words: str) -> None:
    bed = Bed(tmp_path, Doing(lambda model, inputs, context: outputs))
    error = bed.attempt()
    assert isinstance(error, TaskFailed)
    assert words in str(error)
    assert bed.told("task_finished") == []


def test_a_task_that_fails_leaves_nothing_behind_and_says_why(tmp_path: Path) -> None:
    def half(model: Any, inputs: Inputs, context: Context) -> Outputs:
        (context.folder / "half.wav").write_text("x")
        raise ValueError("no")

    bed = Bed(tmp_path, Doing(half))
    error = bed.attempt()
    assert isinstance(error, TaskFailed)
    assert str(error).startswith("i0/n0 failed: ValueError: no")
    assert not (tmp_path / "i0" / "n0").exists()


def test_what_an_earlier_attempt_left_is_removed_first(tmp_path: Path) -> None:
    (tmp_path / "i0" / "n0").mkdir(parents=True)
    (tmp_path / "i0" / "n0" / "old.wav").write_text("x")
    bed = Bed(tmp_path, Doing(louder))
    bed.attempt()
    assert sorted(path.name for path in (tmp_path / "i0" / "n0").iterdir()) == [DONE, "text.json"]


@pytest.mark.parametrize("error", [Interrupted("stop"), KeyboardInterrupt()])
def test_an_interrupt_passes_and_nothing_half_done_stays(tmp_path: Path, error: BaseException) -> None:
    def stop(model: Any, inputs: Inputs, context: Context) -> Outputs:
        (context.folder / "half.wav").write_text("x")
        raise error

    bed = Bed(tmp_path, Doing(stop))
    with pytest.raises(type(error)):
        bed.attempt()
    assert not (tmp_path / "i0" / "n0").exists()


def streaming(folder: Path, first: Doing, second: Doing) -> Bed:
    return Bed(folder, first, second, settings={"text": "one two three"})


def test_parts_of_a_fused_task_stream_and_are_all_done(tmp_path: Path) -> None:
    seen = list[Any]()

    def noted(model: Any, inputs: Inputs, context: Context) -> Outputs:
        seen.append((model, context.item, context.folder.name))
        return double(model, inputs, context)

    bed = streaming(tmp_path, Saying(say), Doubling(noted))
    assert bed.attempt_both() == {"i0/n0": None, "i0/n1": None}
    assert seen == [("second", "i0", "n1")] * 3
    assert set(bed.artifacts.value("i0", "n0", "audio").read().ravel()) == {0.25}
    doubled = bed.artifacts.value("i0", "n1", "audio")
    assert (doubled.seconds, set(doubled.read().ravel())) == (3.0, {0.5})
    assert [data["task"] for data in bed.told("task_finished")] == ["i0/n0", "i0/n1"]
    (report,) = bed.told("stream")
    assert (report["task"], report["audio_seconds"]) == ("i0/n0+n1", 3.0)
    assert outputs_of(bed.artifacts, ["i0/n1"]) == {"i0/n1": ["i0/n1/audio.wav"]}
    assert bed.told("warning") == []


class Refusing(Doubling):
    """Works on the whole sound only; with pieces, it raises `error`."""

    error: ClassVar[Exception] = ValueError("not in pieces")

    def stream(self, *given: Any) -> Iterator[Any]:
        raise self.error


def test_where_a_later_part_cannot_stream_the_parts_are_done_one_after_another(tmp_path: Path) -> None:
    bed = streaming(tmp_path, Saying(say), Refusing(double))
    assert bed.attempt_both() == {"i0/n0": None, "i0/n1": None}
    assert bed.artifacts.value("i0", "n1", "audio").seconds == 3.0
    (warning,) = bed.told("warning")
    assert warning["task"] == "i0/n0+n1"
    assert warning["text"].startswith("streaming ended (i0/n1 failed: ValueError: not in pieces")
    assert bed.told("stream") == []


def test_one_after_another_ends_with_the_first_that_fails(tmp_path: Path) -> None:
    def fail(*_: Any) -> Outputs:
        raise ValueError("no")

    bed = streaming(tmp_path, Saying(say), Refusing(fail))
    ended = bed.attempt_both()
    assert ended["i0/n0"] is None
    assert "i0/n1 failed: ValueError: no" in str(ended["i0/n1"])
    said_in_pieces = Saying(
        lambda model, inputs, context: fail() if " " in inputs["text"].text else say(model, inputs, context)
    )  # type: ignore[union-attr]
    ended = streaming(tmp_path, said_in_pieces, Refusing(double)).attempt_both()
    assert list(ended) == ["i0/n0"]
    assert isinstance(ended["i0/n0"], TaskFailed)


def test_a_first_part_that_fails_is_not_tried_again(tmp_path: Path) -> None:
    calls = list[int]()

    def fail(*_: Any) -> Outputs:
        calls.append(1)
        raise ValueError("no")

    bed = streaming(tmp_path, Saying(fail), Doubling(double))
    ended = bed.attempt_both()
    assert list(ended) == ["i0/n0"]
    assert "i0/n0 failed: ValueError: no" in str(ended["i0/n0"])
    assert (len(calls), bed.told("warning")) == (1, [])
    assert not (tmp_path / "i0" / "n0").exists()
    assert not (tmp_path / "i0" / "n1").exists()


def test_memory_that_runs_out_in_a_later_part_is_not_hidden_by_running_it_alone(tmp_path: Path) -> None:
    class Full(Refusing):
        error = MemoryError("no room")

    bed = streaming(tmp_path, Saying(say), Full(double))
    assert [type(error) for error in bed.attempt_both().values()] == [OutOfMemory]
    assert bed.told("warning") == []


@pytest.mark.parametrize("error", [Interrupted("stop"), KeyboardInterrupt()])
def test_an_interrupt_ends_the_stream_and_nothing_half_done_stays(tmp_path: Path, error: BaseException) -> None:
    def stop(*_: Any) -> Outputs:
        raise error

    bed = streaming(tmp_path, Saying(say), Doubling(stop))
    with pytest.raises(type(error)):
        bed.attempt_both()
    assert not (tmp_path / "i0" / "n0").exists()
    assert not (tmp_path / "i0" / "n1").exists()
