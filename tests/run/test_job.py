"""What a job knows of itself: models of nodes, who loads them, seeds of tasks, and what is left of a problem."""

from dataclasses import replace

import pytest

from benchmarks.memory.harness import Bench
from pipelines.run.imports import import_libraries, libraries_of
from pipelines.run.job import remaining
from pipelines.schema.config import Footprint
from pipelines.schema.units import MIB

JOB = Bench(((8 * MIB, MIB), (4 * MIB, MIB)), None, items=2).job()


def test_a_node_has_the_model_of_its_variant_and_none_without_one() -> None:
    weightless = replace(JOB, variants={"n1": JOB.variants["n1"]})
    assert (JOB.model_of("n0"), weightless.model_of("n0"), weightless.model_of("n1")) == ("n0", None, "n1")
    assert (weightless.subject_of("i0/n0"), weightless.subject_of("i0/n1")) == ("n0", "n1")


def test_bytes_are_counted_under_the_variants_name() -> None:
    renamed = replace(JOB, variants=JOB.variants | {"n0": replace(JOB.variants["n0"], origin="small")})
    assert renamed.subject_of("i0/n0") == renamed.model_of("n0") == "small"


def test_a_node_computes_where_its_variant_says() -> None:
    moved = replace(JOB, variants={"n1": replace(JOB.variants["n1"], device="cpu")})
    assert [moved.device_of(node) for node in ("n0", "n1")] == [None, "cpu"]


def test_a_model_is_loaded_by_the_first_node_that_uses_it() -> None:
    shared = replace(JOB, variants=JOB.variants | {"n1": JOB.variants["n0"]})
    assert shared.loader("n0") is JOB.nodes["n0"]
    assert JOB.loader("n1") is JOB.nodes["n1"]


def test_seeds_differ_by_task_and_by_the_runs_seed_and_are_the_same_everywhere() -> None:
    seeds = {JOB.task_seed("i0/n0"), JOB.task_seed("i1/n0"), replace(JOB, seed=1).task_seed("i0/n0")}
    assert len(seeds) == 3
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert JOB.task_seed("song/separate") == 0x241B45D6  # SHA-256 of "0/song/separate"


def test_what_is_done_is_not_waited_for() -> None:
    left = remaining(JOB.problem, {"i0/n0"})
    after = {task.id: task.after for task in left.tasks}
    assert after == {"i0/n1": (), "i1/n0": (), "i1/n1": ("i1/n0",)}
    assert remaining(JOB.problem, set()) == JOB.problem


def test_the_libraries_of_nodes_in_this_process_are_imported_first() -> None:
    def uses(name: str, library: str, **more: str) -> object:
        footprint = Footprint(context={library: 5, "shared": 1})
        return replace(JOB.variants[name], footprints={"host": footprint, "accelerator": footprint}, **more)

    job = replace(JOB, variants={"n0": uses("n0", "torch"), "n1": uses("n1", "a_library")})
    assert libraries_of(job, "host") == ["a_library", "shared", "torch"]
    apart = replace(JOB, variants={"n0": uses("n0", "torch", isolation="process"), "n1": uses("n1", "a_library")})
    assert libraries_of(apart, "host") == ["a_library", "shared"]


def test_what_is_no_module_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = list[str]()
    monkeypatch.setattr("gc.collect", lambda: calls.append("collect"))
    monkeypatch.setattr("gc.freeze", lambda: calls.append("freeze"))
    assert import_libraries(["wave", "no_such_module_here", "json"]) == ["wave", "json"]
    assert calls == ["collect", "freeze"]  # modules stay; later collections need not go through them
