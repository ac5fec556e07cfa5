"""The worker's side: loads, runs and unloads one node in this process, as requested over the socket it was given.

Messages in: ("load", target, knobs, place, trusted), ("run", inputs, context fields), ("unload",), ("cancel",), and
("stream", inputs, context fields, fed), during which ("more",) requests the next chunk and ("here", chunk) answers a want.
Messages out: ("progress", fraction, note), ("warn", sentence), ("chunk", value), ("want",), and one ("done", value) or
("failed", fields) for each request.
The process ends when its socket does, so a worker never outlives its run.
"""

from __future__ import annotations

import faulthandler
import os
import queue
import resource
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.devices.linux import LinuxMemory
from pipelines.devices.out_of_memory import is_out_of_memory
from pipelines.schema.errors import HeadroomError, Interrupted
from pipelines.schema.node import Context, Node, StreamNode, close_iterator
from pipelines.worker import wire

Maker = Callable[[str, Mapping[str, Any], tuple[str, ...]], Node]


class NodeServer:
    """Holds the node and its model between requests."""

    def __init__(self, channel: socket.socket, make: Maker, limit_bytes: int | None) -> None:
        self._channel, self._make, self._limit = channel, make, limit_bytes
        self._requests: queue.Queue[tuple[Any, ...]] = queue.Queue()
        self._cancelled = threading.Event()
        self._sending = threading.Lock()
        self._node: Node | None = None
        self._model: Any = None

    def serve(self) -> None:
        """Answer requests until the socket closes."""
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            request, *given = self._requests.get()
            try:
                answer = ("done", getattr(self, f"_{request}")(*given))
            except BaseException as error:
                traceback.print_exc()
                answer = ("failed", _error_fields(error))
            try:
                self._send(answer)
            except Exception as error:  # it cannot be pickled, or there is no memory for it; nothing of it was sent
                self._send(("failed", _error_fields(error)))

    def _send(self, message: tuple[Any, ...]) -> None:
        with self._sending:  # a node may report from threads of its own
            wire.send(self._channel, message)

    def _listen(self) -> None:
        while True:
            try:
                message = wire.receive(self._channel)
            except (EOFError, OSError):
                os._exit(0)
            except (
                Exception
            ):  # an object that is not allowed here; without this thread the other side would wait for ever
                traceback.print_exc()
                os._exit(1)
            if message[0] == "cancel":
                self._cancelled.set()
            else:
                if message[0] not in ("more", "here"):  # those continue a stream, cancelled or not
                    self._cancelled.clear()  # here, so that a cancel right behind its request is not lost
                self._requests.put(message)

    def _load(self, target: str, knobs: Mapping[str, Any], place: Any, trusted: tuple[str, ...]) -> None:
        self._node = self._make(target, knobs, trusted)
        with_limit(self._limit)
        self._model = self._node.load(place)

    def _run(self, inputs: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
        with_limit(self._limit)
        assert self._node is not None
        return dict(self._node.run(self._model, inputs, self._context(fields)))

    def _stream(self, inputs: Mapping[str, Any], fields: Mapping[str, Any], fed: bool) -> dict[str, Any]:
        """Send chunks, each when it is requested. A request of another kind ends the stream."""
        with_limit(self._limit)
        assert isinstance(self._node, StreamNode)
        made = self._node.stream(self._model, inputs, self._input_chunks() if fed else None, self._context(fields))
        try:
            while True:
                chunk = next(made)
                self._send(("chunk", chunk))
                self._expect("more")
        except StopIteration as ended:
            return dict(ended.value or {})
        finally:
            close_iterator(made)

    def _input_chunks(self) -> Iterator[Any]:
        while True:
            self._send(("want",))
            (chunk,) = self._expect("here")
            if chunk is None:
                return
            yield chunk

    def _expect(self, kind: str) -> list[Any]:
        request, *given = self._requests.get()
        if request != kind:
            raise Interrupted("The stream was ended by its reader.")
        return given

    def _context(self, fields: Mapping[str, Any]) -> Context:
        return Context(
            **fields,
            report=lambda fraction, note: self._send(("progress", fraction, note)),
            cancelled=self._cancelled.is_set,
            warn=lambda sentence: self._send(("warn", sentence)),
        )

    def _unload(self) -> None:
        if self._node is not None:
            self._node.unload(self._model)
        self._node = self._model = None


def with_limit(limit_bytes: int | None, system: LinuxMemory | None = None) -> None:
    """Let the kernel refuse private memory that would take this process over `limit_bytes` resident.

    RLIMIT_DATA counts address space rather than pages, so the room granted is what is still free of the limit on top of
    what is mapped already. Everything mapped from here on is counted as if it were used.
    """
    if limit_bytes is None:
        return
    system = system or LinuxMemory()
    room = max(0, limit_bytes - system.resident_bytes(os.getpid()))
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (system.data_bytes(os.getpid()) + room, hard))


def _error_fields(error: BaseException) -> dict[str, Any]:
    """An exception as plain data; its class may not exist in the other process."""
    ours = isinstance(error, HeadroomError)
    return {
        "text": str(error) if ours else f"{type(error).__name__}: {error}",
        "exit_code": int(error.exit_code) if isinstance(error, HeadroomError) else 1,
        "out_of_memory": is_out_of_memory(error),
        "interrupted": isinstance(error, (Interrupted, KeyboardInterrupt)),
    }


def main() -> None:
    """`python -m pipelines.worker.child FD [LIMIT]`: serve on the inherited socket FD."""
    from pipelines.node_classes import make_node

    faulthandler.enable()
    channel = socket.socket(fileno=int(sys.argv[1]))
    NodeServer(channel, make_node, int(sys.argv[2]) if len(sys.argv) > 2 else None).serve()


if __name__ == "__main__":
    sys.path[:] = [entry for entry in sys.path if entry not in ("", str(Path(__file__).parent))]
    main()
