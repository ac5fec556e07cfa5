"""What of an earlier run counts again: only results of the same inputs, variants, settings and seed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.memory.harness import Bench
from pipelines.devices.simulated import SimulatedDevice
from pipelines.run.artifacts import DONE, Artifacts
from pipelines.run.fingerprint import fingerprint
from pipelines.run.resume import all_tasks, check_earlier_results, finished_tasks
from pipelines.schema.errors import InvalidError
from pipelines.schema.ids import TaskId
from pipelines.schema.units import MIB
from pipelines.schema.values import Text

BENCH = Bench(((8 * MIB, MIB), (4 * MIB, MIB), (2 * MIB, MIB)), None, items=2)
JOB = BENCH.job()
ALL = {"i0/n0", "i0/n1", "i0/n2", "i1/n0", "i1/n1", "i1/n2"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a finished run."""
    BENCH.run(SimulatedDevice(total_bytes=100 * MIB, track=False), tmp_path, JOB)
    return tmp_path


def test_all_of_an_unchanged_run_counts_again(folder: Path) -> None:
    assert finished_tasks(JOB, Artifacts(folder)) == ALL
    assert finished_tasks(JOB, Artifacts(folder / "elsewhere")) == set()


def test_what_comes_after_a_task_that_is_done_again_is_done_again(folder: Path) -> None:
    changed = replace(JOB, variants={**JOB.variants, "n1": replace(JOB.variants["n1"], knobs={"batch": 2})})
    assert finished_tasks(changed, Artifacts(folder)) == {"i0/n0", "i1/n0"}


def test_an_item_that_lost_a_file_is_done_again_from_there(folder: Path) -> None:
    (folder / "i0" / "n1" / "text.json").unlink()
    assert finished_tasks(JOB, Artifacts(folder)) == {"i0/n0", "i1/n0", "i1/n1", "i1/n2"}


def test_a_note_that_is_damaged_is_no_result(folder: Path) -> None:
    (folder / "i1" / "n0" / DONE).write_text("{")
    assert finished_tasks(JOB, Artifacts(folder)) == {"i0/n0", "i0/n1", "i0/n2"}


def test_only_tasks_of_the_problem_count(folder: Path) -> None:
    part = replace(JOB, problem=replace(JOB.problem, tasks=JOB.problem.tasks[:2]))
    assert finished_tasks(part, Artifacts(folder)) <= {task.id for task in part.problem.tasks}
    assert len(finished_tasks(part, Artifacts(folder))) == 2


def test_the_parts_of_a_fused_task_stand_for_it() -> None:
    fused = replace(JOB.problem.tasks[0], id="i0/n0+n1")
    assert all_tasks(replace(JOB.problem, tasks=(fused, *JOB.problem.tasks[2:3]))) == [
        "i0/n0", "i0/n1", JOB.problem.tasks[2].id,
    ]  # fmt: skip


def mark(job=JOB, node: str = "n1", names: tuple[str, ...] = (), artifacts: Artifacts | None = None) -> dict:
    return fingerprint(job, artifacts or Artifacts(Path("nowhere")), TaskId("i0", (node,)), names)


def test_a_fingerprint_holds_everything_that_a_result_depends_on(folder: Path) -> None:
    job = replace(JOB, digests={"n1": "weights"}, seed=7)
    found = mark(job, artifacts=Artifacts(folder))
    digest = json.loads((folder / "i0" / "n0" / DONE).read_text())["sha256"]["text.json"]
    assert found == {
        "node": "n1", "item": "i0", "target": "benchmarks.Block", "variant": "n1", "weights": "weights", "knobs": {},
        "settings": {}, "seed": 7, "takes": {"text": "n0.text"}, "given": {"text": [digest]},
    }  # fmt: skip


def test_a_text_counts_as_it_is_with_its_language() -> None:
    item = replace(JOB.items["i0"], settings={"text": "hello", "language": "fr", "voice": "a"})
    found = mark(replace(JOB, items={"i0": item}), "n0", ("voice", "speed"))
    assert found["given"] == {"text": ["hello", "fr"]}
    assert found["settings"] == {"speed": None, "voice": "a"}


@pytest.mark.parametrize(
    ("source", "settings", "given"),
    [
        ("item.audio", {}, {"text": ["digest of song"]}),
        ("item.voice", {"voice": "voice.wav"}, {"text": ["digest of voice"]}),
        ("item.voice", {"voice": "other.wav"}, {"text": [None]}),
        ("item.voice", {}, {}),
    ],
)
def test_a_file_counts_by_its_content(source: str, settings: dict[str, str], given: object) -> None:
    node = replace(JOB.graph.node("n0"), inputs={"text": source})
    graph = replace(JOB.graph, pipeline=replace(JOB.graph.pipeline, nodes=(node, *JOB.graph.pipeline.nodes[1:])))
    item = replace(JOB.items["i0"], path="song.wav", settings=settings)
    files = {"song.wav": "digest of song", "voice.wav": "digest of voice"}
    assert mark(replace(JOB, graph=graph, items={"i0": item}, inputs=files), "n0")["given"] == given


def test_without_a_variant_the_node_itself_counts() -> None:
    nodes = tuple(
        replace(node, target="a.Node", knobs={"x": 1}) if node.name == "n0" else node
        for node in JOB.graph.pipeline.nodes
    )
    graph = replace(JOB.graph, pipeline=replace(JOB.graph.pipeline, nodes=nodes))
    found = mark(replace(JOB, graph=graph, variants={}, digests={"n0": "x"}), "n0")
    assert (found["target"], found["variant"], found["weights"], found["knobs"]) == ("a.Node", None, None, {"x": 1})


def test_a_part_of_a_pipeline_needs_the_results_it_starts_from(tmp_path: Path) -> None:
    part = replace(JOB.graph, order=("n1", "n2"))
    store = Artifacts(tmp_path)
    with pytest.raises(InvalidError, match=r"n1 needs what n0 makes of i0, and it is not in .*--resume RUN_DIR"):
        check_earlier_results(part, ["i0", "i1"], store)
    store.save("i0", "n0", {"text": Text("x")}, {})
    with pytest.raises(InvalidError, match="n0 makes of i1"):
        check_earlier_results(part, ["i0", "i1"], store)
    check_earlier_results(part, ["i0"], store)
    check_earlier_results(JOB.graph, ["i0", "i1"], store)  # begins with the items
