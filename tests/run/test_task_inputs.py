"""What a task is given: results of earlier tasks, texts and files of its item, and a warning of each file once."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.memory.harness import Bench
from pipelines.graph.build import Ports
from pipelines.run import task_inputs
from pipelines.run.artifacts import Artifacts
from pipelines.run.task_inputs import TaskInputs
from pipelines.schema.errors import TaskFailed
from pipelines.schema.ids import TaskId
from pipelines.schema.node import Port
from pipelines.schema.units import MIB
from pipelines.schema.values import Text

JOB = Bench(((8 * MIB, MIB), (4 * MIB, MIB)), None).job()


def inputs(tmp_path: Path, given: dict[str, str], optional: bool = False, **item: Any) -> tuple[TaskInputs, list[Any]]:
    """Of the task `i0/n1`, whose ports are given from `given`; all of them optional, or none."""
    node = replace(JOB.graph.node("n1"), inputs=given)
    ports = {"n1": Ports({port: Port("audio", optional=optional) for port in given}, {})}
    graph = replace(
        JOB.graph, pipeline=replace(JOB.graph.pipeline, nodes=(JOB.graph.pipeline.nodes[0], node)),
        ports={**JOB.graph.ports, **ports},
    )  # fmt: skip
    events = list[Any]()
    job = replace(JOB, graph=graph, items={"i0": replace(JOB.items["i0"], **item)})
    return TaskInputs(job, Artifacts(tmp_path), lambda kind, **data: events.append((kind, data))), events


TASK = TaskId("i0", ("n1",))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Files that were opened, and where to; each breaks off."""
    calls = list[Any]()

    def open_audio(path: Path, folder: Path, warn: Any) -> str:
        calls.append((path, folder))
        warn(f"{path.name} breaks off")
        return path.name

    monkeypatch.setattr(task_inputs, "open_audio", open_audio)
    return calls


def test_a_result_of_an_earlier_task_is_taken_from_the_artifacts(tmp_path: Path) -> None:
    found, _ = inputs(tmp_path, {"a": "n0.text", "b": "item.text"}, settings={"text": 5, "language": "fr"})
    found.artifacts.save("i0", "n0", {"text": Text("earlier")}, {})
    assert found.of(TASK) == {"a": Text("earlier"), "b": Text("5", "fr")}
    assert found.of(TASK, without="a") == {"b": Text("5", "fr")}


def test_a_text_is_english_unless_the_item_says_otherwise(tmp_path: Path) -> None:
    found, _ = inputs(tmp_path, {"b": "item.text"}, settings={"language": ""})
    assert found.of(TASK) == {"b": Text("", "en")}


def test_files_of_the_item_are_opened_for_it(tmp_path: Path, opened: list[Any]) -> None:
    found, _ = inputs(
        tmp_path, {"a": "item.audio", "v": "item.voice"}, path="~/song.wav", settings={"voice": "voice.wav"}
    )
    assert found.of(TASK) == {"a": "song.wav", "v": "voice.wav"}
    assert opened == [
        (Path("~/song.wav").expanduser(), tmp_path / "i0" / "item"),
        (Path("voice.wav"), tmp_path / "i0" / "item"),
    ]


def test_an_optional_file_that_is_not_named_is_left_out_and_another_is_missed(
    tmp_path: Path, opened: list[Any]
) -> None:
    found, _ = inputs(tmp_path, {"v": "item.voice"}, optional=True)
    assert found.of(TASK) == {}
    found, _ = inputs(tmp_path, {"v": "item.voice"}, optional=True, settings={"voice": "v.wav"})
    assert found.of(TASK) == {"v": "v.wav"}
    found, _ = inputs(tmp_path, {"v": "item.voice"})
    with pytest.raises(TaskFailed, match="i0 has no voice: its row names no file"):
        found.of(TASK)


def test_each_file_is_warned_of_once(tmp_path: Path, opened: list[Any]) -> None:
    found, events = inputs(tmp_path, {"a": "item.audio", "v": "item.voice"}, path="a.wav", settings={"voice": "b.wav"})
    found.of(TASK)
    found.of(TASK)
    assert events == [("warning", {"text": "a.wav breaks off"}), ("warning", {"text": "b.wav breaks off"})]
