"""Environments of their own for nodes whose pins conflict with ours: built from a pinned list, cached per user.

Installing packages runs their code, so a list is honoured only from trusted config, and only exact pins count. An
environment is complete once its marker file exists; a build that was interrupted is begun anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from pipelines.files import file_lock
from pipelines.paths import user_folders
from pipelines.schema.errors import SurroundingsFailed, UsageError

#: `name==version`, extras allowed. No URLs, no paths, no options: those name places to fetch code from.
_PIN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9,._-]+\])?==[A-Za-z0-9][A-Za-z0-9.+!_-]*$")
#: What the worker itself needs there.
_OURS = "numpy"
_MARKER = "headroom.json"
_SITE = "lib/python*/site-packages"

Command = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


@dataclass(frozen=True, slots=True)
class Environment:
    """One environment on this machine. ready: whether it was built to the end. bytes: on disk."""

    folder: Path
    packages: tuple[str, ...]
    ready: bool
    bytes: int

    @property
    def python(self) -> Path:
        """Its interpreter, for `Worker`."""
        return _python(self.folder)


def environment_for(
    packages: Sequence[str], *, trusted: bool, cache: Path | None = None, run: Command | None = None
) -> Path:
    """The interpreter of an environment with exactly `packages`, built on first use (needs the package index then).

    trusted: whether the list comes from config that may decide what is installed. cache: the user's folder by default.
    Raises `UsageError` for an untrusted list or one that is not pinned, `SurroundingsFailed` where building fails.
    """
    pins = tuple(sorted(set(packages)))
    if not trusted:
        raise UsageError(
            f"environment: [{', '.join(pins)}] would install packages, which only trusted config may ask for. "
            "Move the model file into your own config folder and name that folder with -cd."
        )
    for pin in pins:
        if not _PIN.match(pin):
            raise UsageError(f"environment: {pin!r} is not an exact pin; write name==version.")
    folder = (cache or user_folders().environments) / _name(pins)
    if not (folder / _MARKER).exists():
        with _building(folder):
            if not (folder / _MARKER).exists():  # nobody built it while we waited
                _build(folder, pins, run or _run)
    return _python(folder)


def built_python(packages: Sequence[str], cache: Path | None = None) -> Path | None:
    """The interpreter of the environment for `packages`, None where it was not built to the end. Builds nothing."""
    folder = (cache or user_folders().environments) / _name(tuple(sorted(set(packages))))
    return _python(folder) if (folder / _MARKER).exists() else None


def environments(cache: Path | None = None) -> list[Environment]:
    """Every environment in the cache, for `headroom list`."""
    root = cache or user_folders().environments
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return [_status(folder) for folder in folders]


def _name(pins: Sequence[str]) -> str:
    text = "\n".join([f"python {sys.version_info.major}.{sys.version_info.minor}", *pins])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _build(folder: Path, pins: Sequence[str], run: Command) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    wanted = [*pins, *([] if any(pin.startswith(_OURS + "==") for pin in pins) else [_OURS])]
    for command in _commands(folder, wanted):
        done = run(command)
        if done.returncode != 0:
            shutil.rmtree(folder, ignore_errors=True)
            raise SurroundingsFailed(
                f"The environment for {', '.join(pins)} could not be built: {' '.join(command[:3])} ended with "
                f"{done.returncode}. {done.stderr.strip()[-600:]}"
            )
    (folder / _MARKER).write_text(json.dumps({"packages": list(pins), "resolved": _resolved(folder)}), encoding="utf-8")


def _uv() -> str | None:
    """The program uv: on PATH, else beside our interpreter, where it is when an environment is used without activating it."""
    return shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))


def _commands(folder: Path, wanted: Sequence[str]) -> list[list[str]]:
    uv = _uv()
    if uv:
        return [
            [uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
            [uv, "pip", "install", "--quiet", "--python", str(_python(folder)), *wanted],
        ]
    return [
        [sys.executable, "-m", "venv", str(folder)],
        [str(_python(folder)), "-m", "pip", "install", "--quiet", *wanted],
    ]


def _resolved(folder: Path) -> list[str]:
    """`name==version` of all that is installed there: what the pins left open was decided on the day it was built."""
    found = {each.metadata["Name"]: each.version for each in distributions(path=[str(p) for p in folder.glob(_SITE)])}
    return sorted(f"{name}=={version}" for name, version in found.items())


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    # As pip does, uv is to trust the machine's own certificates; the two names are those of newer and older versions.
    trusting = {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1", **os.environ}
    return subprocess.run(list(command), capture_output=True, text=True, check=False, env=trusting)


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


def _status(folder: Path) -> Environment:
    try:
        packages = tuple(json.loads((folder / _MARKER).read_text(encoding="utf-8"))["packages"])
    except (OSError, ValueError, KeyError, TypeError):
        packages = ()
    size = sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
    return Environment(folder, packages, (folder / _MARKER).exists(), size)


@contextmanager
def _building(folder: Path) -> Iterator[None]:
    """One builder at a time, across processes."""
    try:
        with file_lock(folder.with_suffix(".lock")):
            yield
    except OSError as error:
        raise SurroundingsFailed(f"Environments cannot be kept in {folder.parent}: {error}.") from error
