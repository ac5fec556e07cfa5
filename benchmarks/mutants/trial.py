"""A copy of the tree in which faults are tried: the tests that call a mutated function, fastest first, until one fails."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.mutants.calls import MARK, marked
from benchmarks.mutants.mutations import Mutation

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
        self.folder = folder
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
        originals = {path: path.read_text() for path in (self.folder / "pipelines" / room).rglob("*.py")}
        marks = self.folder / "sitecustomize.py"
        marks.write_text(f"import builtins\n\nbuiltins.{MARK} = set()\n")  # for the processes that tests start
        for path, text in originals.items():
            path.write_text(marked(str(path.relative_to(self.folder)), text))
        done = self._pytest(["-p", "benchmarks.mutants.calls", *paths], {"MUTANTS_CALLS": str(notes)}, None)
        for path, text in originals.items():
            path.write_text(text)
        marks.unlink()
        if done.returncode != 0:
            raise RuntimeError(f"The tests fail before anything is changed:\n{done.stdout[-3000:]}")
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
            done = self._pytest(["-x", *(test.name for test in reaching)], {}, seconds)
        except subprocess.TimeoutExpired:
            return "timeout"
        finally:
            path.write_text(text)
        return "survived" if done.returncode == 0 else "killed"

    def _pytest(
        self, arguments: Sequence[str], more: dict[str, str], seconds: float | None
    ) -> subprocess.CompletedProcess[str]:
        # No compiled files: a fault of the same length within the same second would not be noticed.
        environment = os.environ | {
            "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1",
        } | more  # fmt: skip
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--hypothesis-seed=0", *arguments],
            cwd=self.folder, env=environment, timeout=seconds, capture_output=True, text=True, check=False,
        )  # fmt: skip
