"""Messages between our own processes: pickles whose large arrays go through shared memory, not through the socket.

An array of 64 KiB or more is written once into an anonymous memory file, its descriptor sent along the socket, and the
other side maps it: nothing is copied there, nothing has a name, and so nothing is left behind when a process is killed.
What is unpickled may only be our own frozen data (`pipelines.schema`), numpy arrays and plain Python, so that neither
side can be made to execute what a stranger's checkpoint put into the other.
"""

from __future__ import annotations

import errno
import importlib
import io
import mmap
import os
import pickle
import socket
import struct
import tempfile
from typing import Any

_SHARED_FROM = 64 * 1024
#: Length of the pickle, number of shared buffers.
_HEAD = struct.Struct("!QI")
#: Descriptors the kernel lets through in one message.
_AT_ONCE = 200
_PLAIN = {
    ("builtins", "bytearray"), ("builtins", "set"), ("builtins", "frozenset"), ("builtins", "complex"), ("builtins", "slice"),
    ("collections", "OrderedDict"),
    ("pathlib", "Path"), ("pathlib", "PosixPath"), ("pathlib", "PurePosixPath"),
    ("numpy", "ndarray"), ("numpy", "dtype"),
    ("numpy._core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "scalar"), ("numpy._core.numeric", "_frombuffer"),
}  # fmt: skip


def send(channel: socket.socket, message: Any) -> None:
    """Send one message. `OSError` when the other side is gone; what cannot be pickled or shared raises before anything is sent."""
    shared: list[pickle.PickleBuffer] = []

    def keep_in_band(buffer: pickle.PickleBuffer) -> bool:
        if buffer.raw().nbytes < _SHARED_FROM:
            return True
        shared.append(buffer)
        return False

    body = pickle.dumps(message, protocol=5, buffer_callback=keep_in_band)
    files: list[int] = []
    try:
        files.extend(map(_shared_file, shared))
        channel.sendall(_HEAD.pack(len(body), len(files)))
        for start in range(0, len(files), _AT_ONCE):
            socket.send_fds(channel, [b"+"], files[start : start + _AT_ONCE])
    finally:
        for file in files:
            os.close(file)
    channel.sendall(body)


def receive(channel: socket.socket) -> Any:
    """The next message. `EOFError` when the other side has ended, `pickle.UnpicklingError` for what may not travel."""
    length, count = _HEAD.unpack(_exactly(channel, _HEAD.size))
    files: list[int] = []
    try:
        while len(files) < count:
            wanted = min(count - len(files), _AT_ONCE)
            mark, some, _, _ = socket.recv_fds(channel, 1, wanted)
            files += some
            if not mark:
                raise EOFError("the other process ended while sending")
            if len(some) < wanted:  # the kernel drops those that this process may not open
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        maps = [mmap.mmap(file, 0) for file in files]
    finally:
        for file in files:
            os.close(file)
    return _Reader(io.BytesIO(_exactly(channel, length)), buffers=maps).load()


class _Reader(pickle.Unpickler):
    """Finds only what `_PLAIN` and `pipelines.schema` have."""

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core.", "numpy._core.")  # how numpy 1 in another environment calls it
        if (module, name) in _PLAIN:
            try:
                return super().find_class(module, name)
            except ModuleNotFoundError:
                return super().find_class(module.replace("numpy._core.", "numpy.core."), name)
        if module.startswith("pipelines.schema.") and "." not in name:
            found = getattr(importlib.import_module(module), name, None)
            if isinstance(found, type) and found.__module__ == module:
                return found
        raise pickle.UnpicklingError(f"{module}.{name} may not travel between processes.")


def _shared_file(buffer: pickle.PickleBuffer) -> int:
    """A descriptor of an anonymous memory file holding the buffer's bytes."""
    raw = buffer.raw()
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("headroom", os.MFD_CLOEXEC)
    else:  # no memory files on this system: an unlinked temporary one
        with tempfile.TemporaryFile() as spare:
            file = os.dup(spare.fileno())
    try:
        os.ftruncate(file, raw.nbytes)
        with mmap.mmap(file, raw.nbytes) as memory:
            memory[:] = raw
    except BaseException:
        os.close(file)
        raise
    return file


def _exactly(channel: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = channel.recv(min(count - len(parts), 1 << 20))
        if not part:
            raise EOFError("the other process has ended")
        parts += part
    return bytes(parts)
