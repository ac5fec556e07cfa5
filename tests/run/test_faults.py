"""A short run under fault injection: whatever breaks at whichever step, it ends as documented and loses nothing."""

from pathlib import Path

import pytest

from benchmarks.memory.faults import one

#: All twelve in `make test`; a load, a run and an unload in `make check`.
_STEPS = [pytest.param(step, marks=() if step in (3, 7, 11) else pytest.mark.slow) for step in range(12)]


@pytest.mark.parametrize("step", _STEPS)
@pytest.mark.parametrize(
    "kind",
    [
        "out of memory once",
        "out of memory always",
        "exception",
        "corrupt weights",
        "device shrinks 10 %",
        "device shrinks 30 %",
        "disk full",
    ],
)
def test_a_fault_ends_as_documented_and_loses_nothing(tmp_path: Path, kind: str, step: int) -> None:
    found = one(kind, step, tmp_path)
    assert found["ok"], found


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, 7])
def test_a_killed_worker_is_a_failed_task(tmp_path: Path, step: int) -> None:
    found = one("worker killed", step, tmp_path)
    assert found["ok"], found
