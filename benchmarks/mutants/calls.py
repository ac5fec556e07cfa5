"""Which functions each test calls: marks put into the sources of a copy, and the pytest plugin that collects them.

A tracer would see the same and make the planner's tests five times as slow; a mark at the beginning of each function
costs next to nothing. What a test starts in other processes is not seen.
"""

from __future__ import annotations

import ast
import builtins
import json
import os
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

#: The set that marks add to, among the builtins: `Tree.tests` puts it there.
MARK = "__mutants_called__"
_found: dict[str, dict[str, object]] = {}


def marked(file: str, text: str) -> str:
    """The source of `file` with a mark at the beginning of each function: it adds (file, the `def`'s line) to a set."""
    lines = text.splitlines(keepends=True)
    for line, first in sorted(_functions(ast.parse(text)), key=lambda each: -each[1].lineno):
        indent = " " * first.col_offset
        lines.insert(first.lineno - 1, f"{indent}{MARK}.add(({file!r}, {line}))\n")
    return "".join(lines)


def _functions(tree: ast.Module) -> Iterator[tuple[int, ast.stmt]]:
    """(line, first statement after the docstring) of every function that has one on a line of its own."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
            decorated = isinstance(body[0], ast.FunctionDef | ast.ClassDef) and body[0].decorator_list if body else []
            if body and body[0].lineno > node.lineno and not decorated:
                yield node.lineno, body[0]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, None, None]:
    """Collect the marks of one test, its fixtures included."""
    called: set[tuple[str, int]] = getattr(builtins, MARK)
    called.clear()
    wall, cpu = time.perf_counter(), _cpu_seconds()
    yield
    wall, cpu = time.perf_counter() - wall, _cpu_seconds() - cpu
    _found[item.nodeid] = {"wall": wall, "cpu": cpu, "calls": sorted(called)}


def _cpu_seconds() -> float:
    """Of the processor, by this process and those it has started and waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def pytest_sessionfinish() -> None:
    """Write {test: {"wall": seconds, "cpu": seconds, "calls": [[file, line], ...]}} to the file that MUTANTS_CALLS names."""
    Path(os.environ["MUTANTS_CALLS"]).write_text(json.dumps(_found))
