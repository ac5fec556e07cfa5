"""A node in a process of its own: a crash there is a failed task here, and its memory is certain to come back.

The worker is a fresh interpreter (never a fork, which would inherit locks, threads and CUDA), ours or that of the
node's own environment. `Worker` is the process; `IsolatedNode` makes one look like any other node to the engine.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import pipelines
from pipelines.devices import glibc
from pipelines.devices.linux import LinuxMemory
from pipelines.devices.torch_build import installed_torch
from pipelines.devices.torch_environment import variables_for
from pipelines.schema.errors import (
    HeadroomError,
    Interrupted,
    InvalidError,
    OutOfMemory,
    SurroundingsFailed,
    TaskFailed,
    UsageError,
)
from pipelines.schema.node import Context, Inputs, Node, Outputs, Place, Port
from pipelines.schema.values import Value
from pipelines.worker import wire
from pipelines.worker.processes import death_sentence

_TURN_SECONDS = 0.05
#: How long a cancelled node may take to notice before its process is ended.
GRACE_SECONDS = 5.0


class Worker:
    """One process with one node. Not for use by two threads at once. Close it, or use it in a `with`.

    name: what sentences call it. python: the interpreter; another environment needs numpy only. limit_bytes: an rlimit
    for workers whose memory is RAM. trusted: packages whose classes it may make.
    """

    def __init__(
        self,
        name: str,
        *,
        python: str | Path = sys.executable,
        limit_bytes: int | None = None,
        trusted: Sequence[str] = ("nodes",),
        system: LinuxMemory | None = None,
    ) -> None:
        self.name, self.place = name, Place()
        self._python, self._trusted, self._system = python, tuple(trusted), system or LinuxMemory()
        self.start(limit_bytes)

    def start(self, limit_bytes: int | None) -> None:
        """Start the process; once more after `close`, where a node must be loaded again."""
        name, python = self.name, self._python
        self._channel, child_end = socket.socketpair()
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 # lives as long as the worker
        self._oom_kills = self._system.oom_kills()
        limit = [] if limit_bytes is None else [str(limit_bytes)]
        try:
            self._process = subprocess.Popen(
                [str(python), "-P", "-m", "pipelines.worker.child", str(child_end.fileno()), *limit],
                pass_fds=[child_end.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                env=environment_of(python),
                start_new_session=True,  # Ctrl-C is for the run to answer, not for each of its workers
            )
        except OSError as error:
            self._channel.close()
            self._output.close()
            raise SurroundingsFailed(f"{name}: its own process cannot start: {error}.") from error
        finally:
            child_end.close()

    @property
    def pid(self) -> int:
        """Its process id, for `Device.adopt`."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether its process still is there."""
        return self._process.poll() is None

    def used_bytes(self) -> int:
        """Bytes of its resident set now; 0 once it has ended."""
        return self._system.resident_bytes(self.pid) if self.alive else 0

    def peak_bytes(self) -> int:
        """Bytes of its highest resident set so far."""
        return self._system.peak_bytes(self.pid) or self.used_bytes()

    def load(self, target: str, knobs: Mapping[str, Any], place: Place) -> None:
        """Make the node and load it there. Raises as the node does, `TaskFailed` where the process dies."""
        self.place = place
        self._request(("load", target, dict(knobs), place, self._trusted), Context(self.name, Path()))

    def run(self, inputs: Inputs, context: Context) -> Outputs:
        """Run it on one item. Progress, warnings and cancelling pass through; arrays go over shared memory."""
        outputs: Outputs = self._request(("run", dict(inputs), _fields(context)), context)
        return outputs

    def stream(
        self, inputs: Inputs, chunks: Iterator[Value] | None, context: Context
    ) -> Generator[Value, None, Outputs]:
        """Stream it there, a chunk for each that is requested here; returns its other outputs."""
        message: tuple[Any, ...] = ("stream", dict(inputs), _fields(context), chunks is not None)
        waits = False  # for our next message; it has ended where it does not
        try:
            while True:
                waits = False
                kind, given = self._exchange(message, context)
                if kind == "done":
                    return dict(given)
                waits = True
                if kind == "chunk":
                    yield given
                    message = ("more",)
                else:
                    assert chunks is not None
                    message = ("here", next(chunks, None))
        finally:
            if waits:
                self._stop_stream(context)

    def _stop_stream(self, context: Context) -> None:
        """End a stream early: the worker drops what it was making and is ready for another request."""
        with suppress(HeadroomError):
            self._request(("stop",), replace(context, cancelled=lambda: False))

    def unload(self) -> None:
        """Have the node let go; the process stays for another `load`."""
        self._request(("unload",), Context(self.name, Path()))

    def close(self) -> None:
        """End the process: by closing its socket, then by a signal. May be called again, and after the process has died."""
        self._channel.close()
        self._end(GRACE_SECONDS)
        self._output.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _request(self, message: tuple[Any, ...], context: Context) -> Any:
        _, value = self._exchange(message, context)
        return value

    def _exchange(self, message: tuple[Any, ...], context: Context) -> tuple[str, Any]:
        try:
            wire.send(self._channel, message)
            kind, value = self._answer(context)
        except (EOFError, ConnectionError) as error:
            raise self._death() from error
        except BaseException as error:
            self._end(0)  # a late answer would be taken for that of the next request
            if isinstance(error, OSError):
                raise SurroundingsFailed(f"{self.name}: its process cannot be reached: {error}.") from error
            raise
        if kind == "failed":
            raise _as_error(self.name, value)
        return kind, value

    def _answer(self, context: Context) -> tuple[str, Any]:
        """The next message and its value: `done` or `failed`, or of a stream a `chunk` or a `want`."""
        deadline: float | None = None
        ended = False
        while True:
            if deadline is None and context.cancelled():
                wire.send(self._channel, ("cancel",))
                deadline = time.monotonic() + GRACE_SECONDS
            if deadline is not None and time.monotonic() > deadline:
                self._end(0)
                raise Interrupted(
                    f"{context.item} was cancelled; {self.name} did not listen and its process was ended."
                )
            if not self._has_message(_TURN_SECONDS):
                if ended:
                    raise EOFError("the process has ended; its socket lives on in one that it forked")
                ended = not self.alive
                continue
            kind, *given = wire.receive(self._channel)
            if kind in ("done", "failed", "chunk", "want"):
                return kind, given[0] if given else None
            _pass_on(kind, given, context)

    def _has_message(self, seconds: float) -> bool:
        poll = select.poll()  # `select` refuses descriptors over 1,023
        poll.register(self._channel, select.POLLIN)
        return bool(poll.poll(1000 * seconds))

    def _death(self) -> HeadroomError:
        """The error for a process that is gone: names the signal and quotes its last lines of output."""
        self._end(GRACE_SECONDS)
        code = self._process.returncode
        words = self._last_lines()
        text = f"{self.name}: {death_sentence(code, 'its own process')}" + (
            f" Its last words: {words}" if words else ""
        )
        if code == -signal.SIGKILL and self._system.oom_kills() > self._oom_kills:
            return OutOfMemory(text)
        return TaskFailed(text)

    def _end(self, patience: float) -> None:
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)  # it leads a session of its own: what it started goes with it
            self._process.wait()

    def _last_lines(self) -> str:
        self._output.seek(max(0, os.fstat(self._output.fileno()).st_size - 2000))
        lines = self._output.read().decode(errors="replace").strip().splitlines()
        return " / ".join(line.strip() for line in lines[-4:])


@dataclass(frozen=True)
class IsolatedNode:
    """A node that has a process of its own for every load: what the engine holds as its model is the `Worker`.

    node: the same node made here, of which only the ports are used. limit: the rlimit of a worker that starts now.
    started: called with the process id of each new worker (`Device.adopt`).
    """

    node: Node
    target: str
    knobs: Mapping[str, Any]
    name: str
    python: str | Path = sys.executable
    limit: Callable[[], int | None] = lambda: None
    trusted: Sequence[str] = ("nodes",)
    started: Callable[[int], None] = lambda pid: None

    @property
    def inputs(self) -> Mapping[str, Port]:
        """As the node states."""
        return self.node.inputs

    @property
    def outputs(self) -> Mapping[str, Port]:
        """As the node states."""
        return self.node.outputs

    def load(self, place: Place) -> Worker:
        """Start the process and load there."""
        worker = Worker(self.name, python=self.python, limit_bytes=self.limit(), trusted=self.trusted)
        self._load_in(worker, place)
        return worker

    def _load_in(self, worker: Worker, place: Place) -> None:
        self.started(worker.pid)
        try:
            worker.load(self.target, self.knobs, place)
        except BaseException:
            worker.close()
            raise

    def unload(self, model: Worker) -> None:
        """End the process, which gives every byte back."""
        model.close()

    def run(self, model: Worker | None, inputs: Inputs, context: Context) -> Outputs:
        """Run there. A node that is no model is never loaded, so it has a process for each run."""
        if model is not None:
            return self._alive(model, context).run(inputs, context)
        with self.load(Place(context.device)) as worker:
            return worker.run(inputs, context)

    def stream(
        self, model: Worker, inputs: Inputs, chunks: Iterator[Value] | None, context: Context
    ) -> Generator[Value, None, Outputs]:
        """Stream there. Only where the node itself is one that streams."""
        return (yield from self._alive(model, context).stream(inputs, chunks, context))

    def _alive(self, model: Worker, context: Context) -> Worker:
        """The model, in a new process where its own has died: what one item did to it must not fail all later ones."""
        if not model.alive:
            context.warn(f"{self.name}: its process had ended and is started again.")
            model.close()
            model.start(self.limit())
            self._load_in(model, model.place)
        return model


def _fields(context: Context) -> dict[str, Any]:
    """The fields of a context that can be pickled; the rest goes over the socket as messages."""
    return {
        "item": context.item,
        "folder": context.folder,
        "settings": dict(context.settings),
        "device": context.device,
        "seed": context.seed,
    }


def _pass_on(kind: str, given: list[Any], context: Context) -> None:
    if kind == "progress":
        context.report(*given)
    elif kind == "warn":
        context.warn(*given)


#: The errors a worker's can be here, by exit code.
_KINDS: Mapping[int, type[HeadroomError]] = {
    kind.exit_code: kind for kind in (TaskFailed, UsageError, InvalidError, OutOfMemory, SurroundingsFailed)
}


def _as_error(name: str, fields: Mapping[str, Any]) -> HeadroomError:
    text = f"{name}: {fields['text']}"
    if fields["interrupted"]:
        return Interrupted(text)
    if fields["out_of_memory"]:
        return OutOfMemory(text)
    return _KINDS.get(fields["exit_code"], TaskFailed)(text)


def environment_of(python: str | Path) -> dict[str, str]:
    """What a worker of that interpreter inherits. Another interpreter gets our two packages and nothing else of this environment."""
    own = os.environ.copy()
    own["MALLOC_ARENA_MAX"] = "2"  # arenas reserve address space, which the rlimit counts
    own = {**glibc.threshold_variables(), **own}
    own["PYTHONUNBUFFERED"] = "1"
    if str(python) == sys.executable:
        own["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    else:
        own = variables_for(installed_torch(python), own)
        own["PYTHONPATH"] = str(_our_packages())
        own.pop("PYTHONHOME", None)
    return own


def _our_packages() -> Path:
    """A folder with our packages only; in an installed Headroom they lie among all its dependencies."""
    home = Path(pipelines.__file__).parent.parent
    if not (home / "numpy").exists():
        return home
    folder = Path(tempfile.gettempdir()) / f"headroom-packages-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise SurroundingsFailed(f"{folder} belongs to somebody else; remove it.")
    for name in ("pipelines", "nodes"):
        link = folder / name
        if not link.is_symlink() or link.resolve() != (home / name).resolve():
            link.unlink(missing_ok=True)
            link.symlink_to(home / name)
    return folder
