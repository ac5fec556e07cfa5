"""A copy of the tree in which faults are tried: the tests that call a mutated function, fastest first, until one fails."""

from __future__ import annotations

import builtins
import json
import math
import os
import resource
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

import hypothesis
import pytest

from benchmarks.mutants.calls import MARK, marked
from benchmarks.mutants.mutations import Mutation

#: Hypothesis was imported before pytest could rewrite its assertions: that is as it should be here.
_LOADED_EARLY = "ignore::pytest.PytestAssertRewriteWarning"
#: Seconds a mutant may take beyond three times what its tests took unchanged.
GRACE = 20.0


@dataclass(frozen=True, slots=True)
class Test:
    """A test, its seconds by the clock and of the processor, and the (file, line) of each function it calls."""

    name: str
    wall: float
    cpu: float
    calls: frozenset[tuple[str, int]]

    def reaches(self, mutation: Mutation) -> bool:
        """Whether the test calls the mutated function; for what stands outside of functions, anything in its file."""
        first, last = mutation.scope or (0, 1 << 30)
        return any(file == mutation.file and first <= line <= last for file, line in self.calls)


class Tree:
    """A copy of `files` of a tree below `folder`; the tree itself is only read.

    examples: most examples that Hypothesis may try in a test, None for as many as the tests say.
    """

    def __init__(self, source: Path, files: Sequence[str], folder: Path, examples: int | None = None) -> None:
        self.folder, self.files, self.examples, self.log = folder, files, examples, folder / "mutants.log"
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, folder / name)

    def tests(self, package: str, paths: Sequence[str]) -> list[Test]:
        """Run the unchanged tests once and note what each calls. Raises `RuntimeError` where one fails."""
        notes = self.folder / "mutants_calls.json"
        os.environ["MUTANTS_CALLS"] = str(notes)
        originals = {path: path.read_text() for path in (self.folder / "pipelines" / package).rglob("*.py")}
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
            Test(name, row["wall"], row["cpu"], frozenset((file, line) for file, line in row["calls"]))
            for name, row in found.items()
        ]
        return sorted(tests, key=lambda test: (test.cpu, test.wall, test.name))

    def outcome(self, mutation: Mutation, tests: Sequence[Test]) -> str:
        """`killed`, `timeout`, `survived`, or `uncovered` where no test calls the function."""
        reaching = [test for test in tests if test.reaches(mutation)]
        if not reaching:
            return "uncovered"
        path = self.folder / mutation.file
        text = path.read_text()
        path.write_text(mutation.apply(text))
        try:
            cpu, wall = (3 * sum(getattr(test, lane) for test in reaching) for lane in ("cpu", "wall"))
            code = self._pytest(["-x", *(test.name for test in reaching)], cpu=cpu + GRACE, wall=4 * (wall + GRACE))
        except TimeoutError:
            return "timeout"
        finally:
            path.write_text(text)
        return "survived" if code == 0 else "killed"

    def _pytest(self, arguments: Sequence[str], cpu: float = math.inf, wall: float = math.inf) -> int:
        """Exit status of pytest in the copy. Raises `TimeoutError` after `cpu` or `wall` seconds, and ends what it started.

        In a fork of this process, which has imported pytest and what it loads, and nothing of the copy: starting Python anew
        would take longer than most tests.
        """
        child = os.fork()
        if child == 0:
            self._become_pytest(arguments, cpu)
        ends = time.monotonic() + wall
        while not (done := os.waitpid(child, os.WNOHANG))[0]:
            if time.monotonic() > ends:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                raise TimeoutError(f"not done after {wall:.0f} s")
            time.sleep(0.02)
        code = os.waitstatus_to_exitcode(done[1])
        if code == -signal.SIGXCPU:
            raise TimeoutError(f"not done after {cpu:.0f} s of the processor")
        return code

    def _become_pytest(self, arguments: Sequence[str], cpu: float) -> NoReturn:
        code = 70
        try:
            os.setsid()
            os.chdir(self.folder)
            with self.log.open("w") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            if cpu < math.inf:
                resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time() + cpu) + 1, resource.RLIM_INFINITY))
            if self.examples is not None:
                _limit_examples(self.examples)
            # No compiled files: a fault of the same length within the same second would not be noticed.
            sys.dont_write_bytecode = True
            os.environ |= {"PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
            sys.path.insert(0, str(self.folder))
            code = int(pytest.main(["-q", "-p", "no:cacheprovider", "-W", _LOADED_EARLY, *arguments]))
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)  # without the end of this process's own work


def checked_in(checkout: Path) -> list[str]:
    """The files of a checkout that git knows or would add."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.run(command, cwd=checkout, check=True, capture_output=True, text=True)
    return [name for name in listed.stdout.splitlines() if (checkout / name).is_file()]


def _limit_examples(most: int) -> None:
    """Hypothesis tries `most` examples at most, whatever a test's own settings say."""
    own = hypothesis.settings.max_examples.fget  # type: ignore[attr-defined]
    limited = property(lambda settings: min(own(settings), most))
    type.__setattr__(hypothesis.settings, "max_examples", limited)
