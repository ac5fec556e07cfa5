"""Which tasks are done, failed, skipped or open, and what a task that fails takes with it."""

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.memory.harness import Bench
from pipelines.run.job import Job
from pipelines.run.ladder import Trouble
from pipelines.run.outcome import MemoryTrouble, Outcome
from pipelines.run.progress import Progress
from pipelines.schema.errors import Interrupted, OutOfMemory, TaskFailed
from pipelines.schema.units import MIB

JOB = Bench(((8 * MIB, MIB), (4 * MIB, MIB), (2 * MIB, MIB)), None, items=2).job()


def progress(job: Job = JOB, *, keep_going: bool = True) -> tuple[Progress, list[Any]]:
    events = list[Any]()
    made = Progress(replace(job, keep_going=keep_going), Outcome(), lambda kind, **data: events.append((kind, data)))
    return made, events


def test_a_failed_task_takes_along_all_that_wait_for_it_and_nothing_else() -> None:
    found, events = progress()
    error = TaskFailed("no")
    found.close("i0/n0", error)
    assert found.outcome.failed == {"i0/n0": error}
    assert found.outcome.skipped == {"i0/n1": "i0/n0", "i0/n2": "i0/n0"}
    assert events == [
        ("task_failed", {"task": "i0/n0", "error": "no"}),
        ("task_skipped", {"task": "i0/n1", "because": "i0/n0"}),
        ("task_skipped", {"task": "i0/n2", "because": "i0/n0"}),
    ]
    assert found.outcome.dead == found.outcome.closed == {"i0/n0", "i0/n1", "i0/n2"}


def test_what_is_skipped_already_keeps_its_first_reason() -> None:
    found, events = progress()
    found.close("i0/n1", TaskFailed("no"))
    found.close("i0/n0", TaskFailed("no"))
    assert found.outcome.skipped == {"i0/n2": "i0/n1"}
    assert len(events) == 3


def test_a_failed_task_ends_the_run_unless_it_is_to_keep_going() -> None:
    found, _ = progress(keep_going=False)
    with pytest.raises(TaskFailed, match="no"):
        found.close("i0/n0", TaskFailed("no"))
    assert "i0/n0" in found.outcome.failed


@pytest.mark.parametrize("kind", [Interrupted, OutOfMemory])
def test_what_is_no_fault_of_the_task_ends_the_run_and_fails_nothing(kind: type[Exception]) -> None:
    found, events = progress()
    with pytest.raises(kind):
        found.close("i0/n0", kind("x"))  # type: ignore[arg-type]
    assert (found.outcome, events) == (Outcome(), [])


def test_a_kept_error_holds_no_frames() -> None:
    found, _ = progress()
    try:
        raise TaskFailed("no")
    except TaskFailed as error:
        found.close("i0/n0", error)
    assert found.outcome.failed["i0/n0"].__traceback__ is None


def test_a_model_that_cannot_be_loaded_fails_the_open_tasks_that_use_it() -> None:
    found, events = progress()
    found.close("i0/n1", None)
    found.fail_users("n1", TaskFailed("no weights"))
    assert set(found.outcome.failed) == {"i1/n1"}
    assert found.outcome.skipped == {"i1/n2": "i1/n1"}
    assert found.outcome.done == {"i0/n1"}
    assert [kind for kind, _ in events] == ["task_failed", "task_skipped"]


def test_which_parts_are_open_and_which_wait_for_a_model() -> None:
    found, _ = progress()
    assert found.open_parts(["i0/n0", "i1/n1+n2"]) == ["i0/n0", "i1/n1", "i1/n2"]
    found.close("i1/n1", None)
    assert found.open_parts(["i0/n0", "i1/n1+n2"]) == ["i0/n0", "i1/n2"]
    assert sorted(found.waiting_for("n1")) == ["i0/n1"]
    found.close("i0/n1", TaskFailed("no"))
    assert list(found.waiting_for("n1")) == ["i0/n1"]  # it is not done
    assert found.open_parts(["i0/n0", "i0/n1", "i0/n2"]) == ["i0/n0"]


def test_of_a_fused_task_the_part_that_uses_the_model_waits_for_it() -> None:
    first = next(task for task in JOB.problem.tasks if task.id == "i0/n0")
    fused = replace(first, id="i0/n0+n1", models=("n0", "n1"))
    found, _ = progress(replace(JOB, problem=replace(JOB.problem, tasks=(fused,))))
    assert list(found.waiting_for("n1")) == ["i0/n1"]
    found.fail_users("n1", TaskFailed("no weights"))
    assert set(found.outcome.failed) == {"i0/n1"}


def test_what_is_over_and_what_is_not() -> None:
    outcome = Outcome(done={"a"}, failed={"b": TaskFailed("x")}, skipped={"c": "b"})
    assert [outcome.is_open(task) for task in "abcd"] == [False, False, False, True]
    assert (outcome.dead, outcome.closed) == ({"b", "c"}, {"a", "b", "c"})


def test_blaming_another_task_changes_nothing_else() -> None:
    trouble = MemoryTrouble(Trouble.DRIFT, "i0/n0", "n0", loading=True, predicted=3, needed=5, limit=7)
    other = trouble.blaming("i0/n1")
    assert (trouble.task, other.task, str(other)) == ("i0/n0", "i0/n1", "i0/n1: more memory was used than planned")
    fields = ("kind", "subject", "loading", "predicted_bytes", "needed_bytes", "limit_bytes")
    assert [getattr(other, name) for name in fields] == [Trouble.DRIFT, "n0", True, 3, 5, 7]
