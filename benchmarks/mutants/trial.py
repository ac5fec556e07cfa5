"""A copy of the tree in which faults are tried: the tests that call a mutated function, fastest first, until one fails."""

from __future__ import annotations

import builtins
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import hypothesis  # noqa: F401 - loaded once for all forks, as pytest is
import pytest

from benchmarks.mutants.calls import MARK, marked
from benchmarks.mutants.mutations import Mutation

#: Hypothesis was imported before pytest could rewrite its assertions: that is as it should be here.
_LOADED_EARLY = "ignore::pytest.PytestAssertRewriteWarning"
#: Seconds a mutant may take beyond three times what its tests took unchanged.
GRACE = 20.0


@dataclass(frozen=True, slots=True)
class Test:
    """A test, its seconds, and the (file, line) of each function it calls."""

    name: str
    seconds: float
    calls: frozenset[tuple[str, int]]

    def reaches(self, mutation: Mutation) -> bool:
        """Whether the test calls the mutated function; for what stands outside of functions, anything in its file."""
        first, last = mutation.scope or (0, 1 << 30)
        return any(file == mutation.file and first <= line <= last for file, line in self.calls)


class Tree:
    """A copy of a checkout's files below `folder`. The checkout itself is only read."""

    def __init__(self, checkout: Path, folder: Path) -> None:
        self.checkout, self.folder, self.log = checkout, folder, folder / "mutants.log"
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=checkout, check=True, capture_output=True, text=True
        )
        for name in listed.stdout.splitlines():
            if (checkout / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(checkout / name, folder / name)

    def tests(self, room: str, paths: Sequence[str]) -> list[Test]:
        """Run the unchanged tests once and note what each calls. Raises `RuntimeError` where one fails."""
        notes = self.folder / "mutants_calls.json"
        os.environ["MUTANTS_CALLS"] = str(notes)
        originals = {path: path.read_text() for path in (self.folder / "pipelines" / room).rglob("*.py")}
        marks = self.folder / "sitecustomize.py"
        setattr(builtins, MARK, set())
        marks.write_text(f"import builtins\n\nbuiltins.{MARK} = set()\n")  # for the processes that tests start
        for path, text in originals.items():
            path.write_text(marked(str(path.relative_to(self.folder)), text))
        code = self._pytest(["-p", "benchmarks.mutants.calls", *paths])
        for path, text in originals.items():
            path.write_text(text)
        marks.unlink()
        if code != 0:
            raise RuntimeError(f"The tests fail before anything is changed:\n{self.log.read_text()[-3000:]}")
        found = json.loads(notes.read_text())
        tests = [
            Test(name, row["seconds"], frozenset((file, line) for file, line in row["calls"]))
            for name, row in found.items()
        ]
        return sorted(tests, key=lambda test: (test.seconds, test.name))

    def outcome(self, mutation: Mutation, tests: Sequence[Test]) -> str:
        """`killed`, `timeout`, `survived`, or `uncovered` where no test calls the function."""
        reaching = [test for test in tests if test.reaches(mutation)]
        if not reaching:
            return "uncovered"
        path = self.folder / mutation.file
        text = path.read_text()
        path.write_text(mutation.apply(text))
        try:
            seconds = GRACE + 3 * sum(test.seconds for test in reaching)
            code = self._pytest(["-x", *(test.name for test in reaching)], seconds)
        except TimeoutError:
            return "timeout"
        finally:
            path.write_text(text)
        return "survived" if code == 0 else "killed"

    def _pytest(self, arguments: Sequence[str], seconds: float = math.inf) -> int:
        """Exit status of pytest in the copy. Raises `TimeoutError` after `seconds`, and ends what it started.

        In a fork of this process, which has imported pytest and what it loads, and nothing of the copy: starting Python anew
        would take longer than most tests.
        """
        child = os.fork()
        if child == 0:
            self._become_pytest(arguments)
        ends = time.monotonic() + seconds
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > ends:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                raise TimeoutError(f"not done after {seconds:.0f} s")
            time.sleep(0.02)

    def _become_pytest(self, arguments: Sequence[str]) -> NoReturn:
        code = 70
        try:
            os.setsid()
            os.chdir(self.folder)
            with self.log.open("w") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            # No compiled files: a fault of the same length within the same second would not be noticed.
            sys.dont_write_bytecode = True
            os.environ |= {"PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
            sys.path[:] = [str(self.folder), *(each for each in sys.path if each not in ("", str(self.checkout)))]
            code = int(pytest.main(["-q", "-p", "no:cacheprovider", "-W", _LOADED_EARLY, *arguments]))
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)  # without the end of this process's own work
