"""Nodes in their own process: values arrive whole, deaths are named, nothing is left running."""

import os
import pickle
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipelines.run import wire
from pipelines.run.devices.cpu import CpuDevice
from pipelines.run.worker import Isolated, Worker
from pipelines.schema.errors import Interrupted, OutOfMemory, SurroundingsFailed, TaskFailed, UsageError
from pipelines.schema.node import Context, Node, Place
from pipelines.schema.units import MIB
from pipelines.schema.values import Audio, Contour, File, Note, Notes, Text, Word, Words
from tests.run.standins.known import Known

HERE = "tests.run.standins"
RATE = 16_000


@pytest.fixture(autouse=True)
def _reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2]), *sys.path])


def audio(seconds: float = 1.0) -> Audio:
    return Audio.of(np.random.default_rng(0).standard_normal((2, int(RATE * seconds))).astype(np.float32), RATE)


def loaded(name: str = "Known", limit: int | None = None, **knobs: object) -> Worker:
    worker = Worker(f"test/{name}", trusted=[HERE], limit_bytes=limit)
    worker.load(f"{HERE}.known.{name}", knobs, Place())
    return worker


def context(tmp_path: Path, **more: object) -> Context:
    return Context("song", tmp_path, **more)  # type: ignore[arg-type]


def test_a_run_there_is_a_run_here(tmp_path: Path) -> None:
    given = audio(10)
    said: list[tuple[float, str]] = []
    with loaded(weights=64) as worker:
        found = worker.run({"audio": given}, context(tmp_path, report=lambda *each: said.append(each)))
        assert worker.peak_bytes() >= 80 * MIB
    np.testing.assert_array_equal(found["audio"].data, given.data / 2)
    assert found["audio"].rate == RATE
    assert said == [(0.5, "half")]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


Pair = tuple[socket.socket, socket.socket]


def test_every_kind_of_value_survives_the_wire(pair: Pair) -> None:
    ours, theirs = pair
    times = np.arange(30_000) / 100
    values = {
        "audio": audio(5),
        "contour": Contour(times, times + 100, np.ones_like(times)),
        "words": Words((Word("a", 0, 1), Word("b", 1, 2))),
        "notes": Notes((Note(0, 1, 60, " la"),), 120.0),
        "text": Text("héllo"),
        "file": File(Path("song.txt"), (Path("a.ogg"),)),
        "small": np.float64(3.5),
    }
    threading.Thread(target=wire.send, args=(theirs, values)).start()
    found = wire.receive(ours)
    for name in ("words", "notes", "text", "file", "small"):
        assert found[name] == values[name]
    np.testing.assert_array_equal(found["audio"].data, values["audio"].data)
    np.testing.assert_array_equal(found["contour"].hertz, times + 100)
    found["audio"].data[0, 0] = 7  # mapped memory is the receiver's own


def test_many_arrays_at_once(pair: Pair) -> None:
    ours, theirs = pair
    arrays = [np.full(20_000, number, np.float64) for number in range(450)]
    threading.Thread(target=wire.send, args=(theirs, arrays)).start()
    found = wire.receive(ours)
    assert [array[7] for array in found] == list(range(450))


def test_large_arrays_do_not_go_through_the_pipe(pair: Pair) -> None:
    ours, theirs = pair
    sent = 0

    class Counting(socket.socket):
        def sendall(self, data: bytes, *more: int) -> None:  # type: ignore[override]
            nonlocal sent
            sent += len(data)
            super().sendall(data, *more)

    channel = Counting(fileno=theirs.detach())
    thread = threading.Thread(target=wire.send, args=(channel, audio(60)))
    thread.start()
    wire.receive(ours)
    thread.join()
    assert sent < 2000
    channel.close()


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch owned",)


def test_nothing_but_plain_data_is_unpickled(tmp_path: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ours, theirs = pair
    wire.send(theirs, {"x": Evil()})
    with pytest.raises(pickle.UnpicklingError, match="may not travel"):
        wire.receive(ours)
    assert not list(tmp_path.iterdir())


def test_schema_functions_cannot_be_called_by_a_pickle(pair: Pair) -> None:
    ours, theirs = pair
    body = b"\x80\x04\x8c\x18pipelines.schema.reading\x8c\x09read_json\x93\x8c\x01x\x85R."
    theirs.sendall(wire._HEAD.pack(len(body), 0) + body)
    with pytest.raises(pickle.UnpicklingError):
        wire.receive(ours)


@pytest.mark.parametrize(
    ("what", "error", "words"),
    [
        ("raise", TaskFailed, "not to my taste"),
        ("segfault", TaskFailed, "SIGSEGV"),
        ("kill", TaskFailed, "SIGKILL"),
        ("exit", TaskFailed, "exit code 3"),
        ("memory", OutOfMemory, "allocate"),
    ],
)
def test_a_fault_there_is_a_failed_task_here(tmp_path: Path, what: str, error: type[Exception], words: str) -> None:
    with loaded("Misbehaving", what=what) as worker, pytest.raises(error, match=words):
        worker.run({"audio": audio()}, context(tmp_path))
    assert not Path(f"/proc/{worker.pid}").exists()


def test_a_worker_killed_from_outside_is_named(tmp_path: Path) -> None:
    with loaded("Misbehaving", what="hang") as worker:
        killer = threading.Timer(0.3, os.kill, (worker.pid, 9))
        killer.start()
        with pytest.raises(TaskFailed, match="SIGKILL"):
            worker.run({"audio": audio()}, context(tmp_path))
        killer.join()
        with pytest.raises(TaskFailed, match="SIGKILL"):
            worker.run({"audio": audio()}, context(tmp_path))


def test_after_a_failed_run_the_worker_serves_on(tmp_path: Path) -> None:
    with loaded("Misbehaving", what="raise") as worker:
        for _ in range(2):
            with pytest.raises(TaskFailed, match="taste"):
                worker.run({"audio": audio()}, context(tmp_path))
        worker.unload()


def test_cancelling_passes_through(tmp_path: Path) -> None:
    begun = time.monotonic()
    with loaded("Misbehaving", what="hang") as worker, pytest.raises(Interrupted, match="song was cancelled"):
        worker.run({"audio": audio()}, context(tmp_path, cancelled=lambda: time.monotonic() > begun + 0.3))


def test_prints_do_not_disturb(tmp_path: Path) -> None:
    with loaded("Misbehaving", what="print") as worker:
        assert "audio" in worker.run({"audio": audio()}, context(tmp_path))


def test_a_limit_is_the_kernels_to_hold(tmp_path: Path) -> None:
    with loaded(base=200, slope=0, weights=8, limit=150 * MIB) as worker:
        with pytest.raises(OutOfMemory):
            worker.run({"audio": audio()}, context(tmp_path))
        assert worker.peak_bytes() <= 150 * MIB
    with loaded(base=200, slope=0, weights=8, limit=400 * MIB) as worker:
        worker.run({"audio": audio()}, context(tmp_path))


def test_refusals_keep_their_class() -> None:
    with Worker("x", trusted=[HERE]) as worker, pytest.raises(UsageError, match="not allowed"):
        worker.load("os.system", {}, Place())


def test_an_interpreter_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(SurroundingsFailed, match="cannot start"):
        Worker("x", python="/nowhere/python")


def test_it_stands_in_for_a_node_and_its_bytes_come_back(tmp_path: Path) -> None:
    device = CpuDevice()
    pids: list[int] = []
    node = Isolated(Known(), f"{HERE}.known.Known", {"weights": 128}, "test/known", trusted=[HERE], started=pids.append)
    assert isinstance(node, Node)
    before = device.used_bytes()
    model = node.load(Place())
    device.adopt(pids[0])
    assert device.used_bytes() - before >= 128 * MIB
    with device.watch() as reading:
        node.run(model, {"audio": audio(2)}, context(tmp_path))
    assert reading.peak_bytes - reading.start_bytes >= 24 * MIB
    node.unload(model)
    assert device.used_bytes() - before < 32 * MIB


def test_a_worker_ends_with_its_run(tmp_path: Path) -> None:
    import subprocess

    script = (
        "import sys, time; from pipelines.run.worker import Worker\n"
        "w = Worker('x'); print(w.pid, flush=True); time.sleep(0.5); import os; os.kill(os.getpid(), 9)\n"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
    )
    pid = int(done.stdout)
    deadline = time.monotonic() + 5
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_a_cancel_right_behind_its_order_is_not_lost(tmp_path: Path) -> None:
    with loaded("Misbehaving", what="hang") as worker:
        with pytest.raises(Interrupted, match=r"song was cancelled\.$"):
            worker.run({"audio": audio()}, context(tmp_path, cancelled=lambda: True))
        worker.unload()  # it listened, so its process lives
