"""Brings one file from a hub: resumed where an earlier try stopped, and given its name only once its digest is right."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipelines.files import sha256_of
from pipelines.schema.errors import SurroundingsFailed, TaskFailed
from pipelines.weights.hub import CannotResume, Hub
from pipelines.weights.listing import WantedFile

#: A connection that broke is tried again this often where it had brought something, after so many seconds each.
_TRIES, _PAUSE = 5, 1.0

#: Called with how many bytes of a file are here.
ByteProgress = Callable[[int], None]


@dataclass(frozen=True)
class Transfer:
    """Files of `hub`, brought into the folder `stage`. pause: sleeps for so many seconds before another try."""

    hub: Hub
    stage: Path
    pause: Callable[[float], None]

    def bytes_here(self, file: WantedFile) -> int:
        """How many bytes of `file` an earlier try brought."""
        done = self.stage / file.name
        return file.size if done.is_file() else min(_size(file.part(self.stage)), file.size)

    def bring(self, file: WantedFile, progress: ByteProgress) -> str:
        """Bring `file` into the stage, where it is not there already. Returns its SHA-256 in hex.

        Raises `SurroundingsFailed` where the connection fails (what came is resumed next time), `TaskFailed` where the hub has
        not got it or gave other bytes than it should, and `OSError` where the disk does not take it.
        """
        path = self.stage / file.name
        if path.is_file():
            digest = sha256_of(path)
            if file.is_right(path, digest):
                return digest
            path.unlink()  # another revision's
        path.parent.mkdir(parents=True, exist_ok=True)
        part = file.part(self.stage)
        self._complete(part, file, progress)
        return _accept(part, path, file)

    def _complete(self, part: Path, file: WantedFile, progress: ByteProgress) -> None:
        """Bring `part` to its full size; a connection that broke after it had brought something is tried again."""
        tries = 0
        while True:
            before = _size(part)
            try:
                return self._resume(part, file, progress)
            except CannotResume:
                part.unlink(missing_ok=True)
                tries += 1
                if tries > _TRIES:
                    raise TaskFailed(f"{file.source.repo} does not give {file.remote} from its beginning.") from None
            except SurroundingsFailed:
                tries = tries + 1 if _size(part) == before else 0
                if _size(part) == 0 or tries > _TRIES:
                    raise
                self.pause(_PAUSE)

    def _resume(self, part: Path, file: WantedFile, progress: ByteProgress) -> None:
        """Append what is missing of `part`. Raises `SurroundingsFailed` where less comes than there should be."""
        size = _size(part)
        if size > file.size:
            part.unlink()
            size = 0
        if size < file.size or file.size == 0:
            with part.open("ab") as out:
                for block in self.hub.blocks(file.source, file.commit, file.remote, size):
                    out.write(block)
                    size += len(block)
                    progress(min(size, file.size))
                    if size > file.size:
                        break
        if size < file.size:
            raise SurroundingsFailed(f"{file.remote} ended after {size} of {file.size} bytes.")


def _accept(part: Path, path: Path, file: WantedFile) -> str:
    """Give a whole file its name, or set a wrong one aside and raise `TaskFailed`. Returns its digest."""
    digest = sha256_of(part)
    if file.is_right(part, digest):
        os.replace(part, path)
        return digest
    bad = path.with_name(path.name + ".bad")
    os.replace(part, bad)
    expected = f"SHA-256 {file.sha256[:16]}..., " if file.sha256 else ""
    raise TaskFailed(
        f"{file.name} from {file.source.repo} is not what it should be: SHA-256 {digest[:16]}..., {_size(bad)} bytes; "
        f"expected {expected}{file.size} bytes. It is kept as {bad} and not used. Fetch again, or ask whoever publishes it."
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
