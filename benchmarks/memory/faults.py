"""A fault at every step of a twelve-step run: it ends complete or with its documented code, and nothing is lost or leaks."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.memory.harness import Bench
from pipelines.devices.simulated import SimulatedDevice
from pipelines.files import sha256_of
from pipelines.run.artifacts import Artifacts
from pipelines.schema.errors import ExitCode, HeadroomError
from pipelines.schema.ids import TaskId
from pipelines.schema.node import Place
from pipelines.schema.units import MIB
from pipelines.worker.client import Worker

_SIZES = ((64 * MIB, 24 * MIB), (48 * MIB, 40 * MIB), (60 * MIB, 8 * MIB), (32 * MIB, 32 * MIB))
_TOTAL = 100 * MIB
#: Which codes a run may end with under each fault; 0 is a completed run. Steps are loads, runs and unloads.
KINDS: dict[str, set[int]] = {
    "out of memory once": {ExitCode.OK},
    "out of memory always": {ExitCode.OUT_OF_MEMORY},
    "exception": {ExitCode.TASK_FAILED},
    "worker killed": {ExitCode.TASK_FAILED},
    "device shrinks 10 %": {ExitCode.OK},
    "device shrinks 30 %": {ExitCode.OK, ExitCode.OUT_OF_MEMORY},
    "disk full": {ExitCode.SURROUNDINGS},
    "corrupt weights": {ExitCode.TASK_FAILED},
}


def run(quick: bool) -> dict[str, Any]:
    """Every kind at every step (quick: every other step), with what each run ended as."""
    rows = []
    for kind in KINDS:
        for step in range(0, 12, 2 if quick else 1):
            with tempfile.TemporaryDirectory() as folder:
                rows.append(one(kind, step, Path(folder)))
    bad = [row for row in rows if not row["ok"]]
    return {"runs": len(rows), "bad": bad, "bars": {"every run ends as documented, keeps and frees all": not bad}}


def one(kind: str, step: int, folder: Path) -> dict[str, Any]:
    """One run with `kind` at `step` of load n0, run, unload, load n1, ..."""
    device = SimulatedDevice(total_bytes=_TOTAL, track=False)
    where = (("load", "run", "unload")[step % 3], f"n{step // 3}")
    fired: list[int] = []

    def fault(when: str, node: str) -> None:
        if (when, node) == where and (kind.endswith("always") or not fired):
            fired.append(step)
            _ACTIONS[kind](device)

    bench = Bench(_SIZES, _TOTAL, fault=fault)
    code, message = 0, ""
    try:
        outcome = bench.run(device, folder)
        code = 0 if len(outcome.done) == len(_SIZES) else int(ExitCode.TASK_FAILED)
    except HeadroomError as error:
        code, message = int(error.exit_code), str(error)
    except Exception as error:
        code, message = -1, f"{type(error).__name__}: {error}"
    lost, leaked = _lost(bench, folder), device.used_bytes()
    # An unload that fails must not cost the run more than its node; what it did is already on disk.
    allowed = KINDS[kind] | ({0, int(ExitCode.TASK_FAILED)} if where[0] == "unload" else set())
    ok = code in allowed and not lost and leaked == 0 and bool(fired)
    fields = {"kind": kind, "step": f"{where[0]} {where[1]}", "code": code, "lost": lost, "leaked": leaked, "ok": ok}
    return fields if ok else {**fields, "said": message, "fired": bool(fired)}


def _lost(bench: Bench, folder: Path) -> list[str]:
    """Tasks that were reported as finished and whose files are not there whole."""
    from pipelines.run.artifacts import read_note

    lost = []
    for event in bench.events:
        if event.kind == "task_finished":
            finished = TaskId.parse(event.data["task"])
            home = Artifacts(folder).folder(finished.item, finished.node)
            note = read_note(home)
            if any(sha256_of(home / name) != value for name, value in note["sha256"].items()):
                lost.append(event.data["task"])
    return lost


def _raise(error: BaseException) -> Callable[[SimulatedDevice], None]:
    def act(device: SimulatedDevice) -> None:
        raise error

    return act


def _shrink(share: float) -> Callable[[SimulatedDevice], None]:
    def act(device: SimulatedDevice) -> None:
        device.total_bytes = round(device.total_bytes * (1 - share))

    return act


def _kill(device: SimulatedDevice) -> None:
    with Worker("worker", trusted=["benchmarks"]) as worker:
        worker.load("benchmarks.memory.standins.Killed", {}, Place())


_ACTIONS: dict[str, Callable[[SimulatedDevice], None]] = {
    "out of memory once": _raise(MemoryError("CUDA out of memory")),
    "out of memory always": _raise(MemoryError("CUDA out of memory")),
    "exception": _raise(ValueError("not to my taste")),
    "worker killed": _kill,
    "device shrinks 10 %": _shrink(0.1),
    "device shrinks 30 %": _shrink(0.3),
    "disk full": _raise(OSError(errno.ENOSPC, "No space left on device")),
    "corrupt weights": _raise(RuntimeError("PytorchStreamReader failed reading zip archive")),
}
