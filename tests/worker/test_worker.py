"""Nodes in their own process: values arrive whole, deaths are named, nothing is left running."""

import fcntl
import os
import pickle
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from pipelines.devices.cpu import CpuDevice
from pipelines.schema.errors import Interrupted, OutOfMemory, SurroundingsFailed, TaskFailed, UsageError
from pipelines.schema.node import Context, Node, Place
from pipelines.schema.units import MIB
from pipelines.schema.values import Audio, Contour, File, Note, Notes, Text, Word, Words
from pipelines.worker import wire
from pipelines.worker.client import IsolatedNode, Worker
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
    message: list[tuple[float, str]] = []
    with loaded(weights=64) as worker:
        found = worker.run({"audio": given}, context(tmp_path, report=lambda *each: message.append(each)))
        assert worker.peak_bytes() >= 80 * MIB
    np.testing.assert_array_equal(found["audio"].data, given.data / 2)
    assert found["audio"].rate == RATE
    assert message == [(0.5, "half")]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(60)  # to fail rather than to hang
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


def test_arrays_that_may_not_be_opened_here_are_missed_and_not_waited_for(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pair
    whole = socket.recv_fds
    monkeypatch.setattr(socket, "recv_fds", lambda channel, size, most: whole(channel, size, most - 1))
    wire.send(theirs, [audio(5), audio(5)])
    with pytest.raises(OSError, match="Too many open files"):
        wire.receive(ours)


def test_a_message_that_cannot_be_sent_whole_is_not_begun(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pair

    def full(buffer: pickle.PickleBuffer) -> int:
        raise MemoryError("no memory file")

    monkeypatch.setattr(wire, "_shared_file", full)
    with pytest.raises(MemoryError):
        wire.send(theirs, audio(5))
    wire.send(theirs, "the next")
    assert wire.receive(ours) == "the next"


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
    body = b"\x80\x04\x8c\x1cpipelines.schema.json_reader\x8c\x09read_json\x93\x8c\x01x\x85R."
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


def test_what_cannot_travel_fails_its_run_and_no_other(tmp_path: Path) -> None:
    with loaded("Secretive") as worker:
        with pytest.raises(TaskFailed, match="pickle"):
            worker.run({"audio": audio()}, context(tmp_path))
        worker.unload()


def patient(seconds: float = 20.0) -> Callable[[], bool]:
    """For `cancelled`: ends a test that would otherwise hang."""
    until = time.monotonic() + seconds
    return lambda: time.monotonic() > until


def test_an_order_that_the_worker_cannot_read_is_answered(tmp_path: Path) -> None:
    given = context(tmp_path, settings={"day": date(2024, 2, 29)}, cancelled=patient())
    with loaded() as worker, pytest.raises(TaskFailed, match="may not travel"):
        worker.run({"audio": audio()}, given)


def test_a_node_may_report_from_threads_of_its_own(tmp_path: Path) -> None:
    message: list[float] = []
    with loaded("Chatty") as worker:
        worker.run({"audio": audio()}, context(tmp_path, report=lambda fraction, note: message.append(fraction)))
    assert len(message) == 6 * 20


def test_a_death_is_seen_though_a_process_it_forked_lives_on(tmp_path: Path) -> None:
    forked: list[int] = []

    def kill(fraction: float, note: str) -> None:
        forked.append(int(note))
        os.kill(worker.pid, signal.SIGKILL)

    with loaded("Deaf") as worker:
        try:
            with pytest.raises(TaskFailed, match="SIGKILL"):
                worker.run({"audio": audio()}, context(tmp_path, report=kill, cancelled=patient()))
        finally:
            os.kill(forked[0], signal.SIGKILL)


def test_what_a_node_started_ends_with_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.worker.client.GRACE_SECONDS", 0.0)
    forked: list[int] = []
    with loaded("Deaf") as worker, pytest.raises(Interrupted, match="did not listen"):
        worker.run(
            {"audio": audio()},
            context(tmp_path, report=lambda _, note: forked.append(int(note)), cancelled=lambda: bool(forked)),
        )
    deadline = time.monotonic() + 20
    while _alive(forked[0]) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _alive(forked[0])


def test_it_is_reached_in_a_program_with_many_open_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < 1200:
        pytest.skip("no more than 1,200 files may be open here")
    plain = socket.socketpair

    def high() -> Pair:
        ours, theirs = plain()
        with ours:
            return socket.socket(fileno=fcntl.fcntl(ours, fcntl.F_DUPFD_CLOEXEC, 1100)), theirs

    monkeypatch.setattr(socket, "socketpair", high)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    try:
        with loaded() as worker:
            assert "audio" in worker.run({"audio": audio()}, context(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def isolated(name: str = "Known", **knobs: object) -> IsolatedNode:
    return IsolatedNode(Known(), f"{HERE}.known.{name}", knobs, "test/node", trusted=[HERE])


def test_an_item_after_a_death_has_a_new_process(tmp_path: Path) -> None:
    node, reported = isolated(weights=1), list[str]()
    model = node.load(Place())
    os.kill(model.pid, signal.SIGKILL)
    with pytest.raises(TaskFailed, match="SIGKILL"):
        model.run({"audio": audio()}, context(tmp_path))
    given = audio(2)
    found = node.run(model, {"audio": given}, context(tmp_path, warn=reported.append))
    np.testing.assert_array_equal(found["audio"].data, given.data / 2)
    assert reported == ["test/node: its process had ended and is started again."]
    node.unload(model)
    assert not model.alive


def test_after_an_order_that_was_left_half_way_the_next_gets_its_own_answer(tmp_path: Path) -> None:
    def broken(fraction: float, note: str) -> None:
        raise ValueError("the screen is gone")

    node = isolated(weights=1, base=1)
    model = node.load(Place())
    with pytest.raises(ValueError, match="screen"):
        node.run(model, {"audio": audio(1)}, context(tmp_path, report=broken))
    assert node.run(model, {"audio": audio(2)}, context(tmp_path))["audio"].seconds == 2.0
    node.unload(model)


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
    node = IsolatedNode(
        Known(), f"{HERE}.known.Known", {"weights": 128}, "test/known", trusted=[HERE], started=pids.append
    )
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
        "import sys, time; from pipelines.worker.client import Worker\n"
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
    deadline = time.monotonic() + 300
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
