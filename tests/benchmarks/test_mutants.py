"""The mutation tool: which faults it finds in a text, and that a copy's tests tell noticed faults from unnoticed ones."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from benchmarks.mutants.__main__ import RESULTS, Outcome, known_equivalent, row, summary
from benchmarks.mutants.calls import MARK, marked
from benchmarks.mutants.mutations import mutations

ROOT = Path(__file__).parents[2]
SOURCE = '''\
"""A text."""

LIMIT: int = 3


def clipped(values: list[int], most: int = LIMIT) -> list[int]:
    """At most `most` of each."""
    made = []
    for value in values:
        if value > most and most >= 0:
            made.append(most)
        else:
            made.append(value + 0)
    return made


def never() -> int:
    return 1
'''
TESTS = """\
from pipelines.toy.size import clipped


def test_clipped():
    assert clipped([1, 5]) == [1, 3]
"""


def test_each_kind_of_fault_is_found_where_it_can_be() -> None:
    found = Counter(m.kind for m in mutations("x.py", SOURCE))
    assert found == {
        "constant": 4, "comparison": 3, "boolean": 1, "removed statement": 2, "arithmetic": 1, "return": 2,
    }  # fmt: skip


def test_a_mutation_changes_its_own_place_only() -> None:
    texts = [m.apply(SOURCE) for m in mutations("x.py", SOURCE)]
    assert len(set(texts)) == len(texts)
    for mutation, text in zip(mutations("x.py", SOURCE), texts, strict=True):
        changed = [n for n, (a, b) in enumerate(zip(SOURCE.splitlines(), text.splitlines(), strict=True), 1) if a != b]
        assert changed == [mutation.line]


def test_text_annotations_and_docstrings_stay() -> None:
    assert mutations("x.py", '"""1 < 2."""\nname: "1" = "a + b"\nassert 1 < 2\n') == []


def test_the_line_after_a_character_of_several_bytes_is_changed_where_it_stands() -> None:
    assert [m.apply('a = ("é", 1)\n') for m in mutations("x.py", 'a = ("é", 1)\n')] == ['a = ("é", 2)\n']


def test_marks_stand_after_docstrings_and_name_the_line_of_the_function() -> None:
    lines = marked("x.py", SOURCE).splitlines()
    assert lines[7] == f"    {MARK}.add(('x.py', 6))"
    assert lines[-2] == f"    {MARK}.add(('x.py', 17))"


def test_a_copys_tests_tell_which_faults_are_noticed(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    files = {
        "pipelines/__init__.py": "", "pipelines/toy/__init__.py": "", "pipelines/toy/size.py": SOURCE,
        "tests/__init__.py": "", "tests/toy/__init__.py": "", "tests/toy/test_size.py": TESTS,
    }  # fmt: skip
    for name, text in files.items():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text(text)
    code = f"""
import json
from pathlib import Path
from benchmarks.mutants.mutations import mutations
from benchmarks.mutants.trial import Tree
tree = Tree(Path({str(checkout)!r}), {list(files)!r}, Path({str(tmp_path / "copy")!r}))
tests = tree.tests("toy", ["tests/toy"])
found = mutations("pipelines/toy/size.py", (tree.folder / "pipelines/toy/size.py").read_text())
print(json.dumps([[m.line, m.new, tree.outcome(m, tests)] for m in found]))
"""
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outcomes = {(line, new): outcome for line, new, outcome in json.loads(done.stdout.splitlines()[-1])}
    assert outcomes[3, "4"] == "killed"  # the default of most
    assert outcomes[10, ">="] == "survived"  # no value equals most
    assert outcomes[11, "pass"] == "killed"
    assert outcomes[18, "None"] == "uncovered"
    assert (checkout / "pipelines/toy/size.py").read_text() == SOURCE


def test_equivalent_survivors_are_left_out_of_the_score() -> None:
    first, second, third = mutations("x.py", SOURCE)[:3]
    outcomes = [
        Outcome(first, "a", "b", "killed"), Outcome(second, "c", "d", "survived"), Outcome(third, "e", "f", "survived"),
    ]  # fmt: skip
    report = summary(outcomes, {("x.py", "c", "d"): "the same"})
    assert report["score"] == 0.5
    assert len(report["survivors"]) == len(report["equivalent"]) == 1


def test_known_equivalents_still_stand_in_the_code() -> None:
    for (file, before, _), reason in known_equivalent().items():
        assert before in [line.strip() for line in (ROOT / file).read_text().splitlines()], (file, before)
        assert reason


def test_the_table_of_figures_is_what_the_results_say() -> None:
    page = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")
    for package, report in json.loads(RESULTS.read_text(encoding="utf-8")).items():
        assert row(package, report) in page, "python -m benchmarks.mutants prints the line of a package"
