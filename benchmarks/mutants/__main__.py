"""python -m benchmarks.mutants --package plan --sample 150 --seed 0 --jobs 2: how many small faults of a package its tests notice.

Mutants are drawn by the seed from all of `pipelines/PACKAGE`, tried one at a time in a copy of the tree, never in the checkout,
each against the tests of `tests/PACKAGE` (and `--tests`) that call the changed function. A mutant is killed when a test fails
or takes far longer than it did. The score is the killed ones' share of those that are not equivalent; equivalent mutants,
which no test can notice, stand in `benchmarks/mutants/equivalent.json` with the reason.

Writes benchmarks/results/mutants.json, one entry a package: counts, score, and every survivor. Low priority: `nice` it.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.mutants.mutations import Mutation, mutations
from benchmarks.mutants.trial import Test, Tree, checked_in

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "mutants.json"
#: Rooms whose faults would cost most: what is planned, and what counts and frees memory.
PACKAGES = ("plan", "devices", "run")
EQUIVALENT = Path(__file__).parent / "equivalent.json"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A mutant and what became of it; `before` and `after` are the first changed line, without its indent."""

    mutation: Mutation
    before: str
    after: str
    outcome: str

    def row(self) -> dict[str, object]:
        """For JSON."""
        where = f"{self.mutation.file}:{self.mutation.line}"
        return {
            "at": where,
            "kind": self.mutation.kind,
            "before": self.before,
            "after": self.after,
            "outcome": self.outcome,
        }


def main() -> None:
    args = _arguments()
    for package in args.package or PACKAGES:
        report = _measured(package, args)
        print(row(package, report), flush=True)
        if not args.file:
            _record(package, report)


def _measured(package: str, args: argparse.Namespace) -> dict[str, object]:
    """Try the mutants of one package."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Tree(ROOT, checked_in(ROOT), Path(folder) / "0", args.examples)
        chosen, possible = _sample(tree.folder, package, args.file, args.sample, args.seed)
        tests = tree.tests(package, [f"tests/{package}", *args.tests, *(["-m", "not slow"] if args.quick else [])])
        seconds = sum(test.cpu for test in tests)
        print(f"{package}: {len(tests)} tests, {seconds:.0f} s; {len(chosen)} of {possible} mutants", flush=True)
        copies = (Tree(tree.folder, tree.files, Path(folder) / str(n), args.examples) for n in range(1, args.jobs))
        parts = [(each, chosen[n :: args.jobs], tests) for n, each in enumerate((tree, *copies))]
        with get_context("fork").Pool(args.jobs) as pool:
            outcomes = [outcome for part in pool.map(_outcomes, parts, chunksize=1) for outcome in part]
    outcomes.sort(key=lambda each: (each.mutation.file, each.mutation.start))
    drawn = {"possible": possible, "sample": len(chosen), "seed": args.seed, "examples": args.examples}
    drawn |= {"quick": True} if args.quick else {}
    return summary(outcomes, known_equivalent()) | drawn


def _outcomes(part: tuple[Tree, list[Mutation], list[Test]]) -> list[Outcome]:
    """Try mutants one after another, and say what became of each."""
    tree, chosen, tests = part
    made = []
    for mutation in chosen:
        text = (tree.folder / mutation.file).read_text()
        line = text[: mutation.start].count("\n")
        before, after = (each.splitlines()[line].strip() for each in (text, mutation.apply(text)))
        made.append(Outcome(mutation, before, after, tree.outcome(mutation, tests)))
        print(f"{made[-1].outcome:9} {mutation.file}:{mutation.line}  {before}  ->  {after}", flush=True)
    return made


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants", description=__doc__)
    parser.add_argument(
        "--package",
        action="append",
        help=f"a folder of pipelines/, with its tests in tests/ (default: {', '.join(PACKAGES)})",
    )
    parser.add_argument("--sample", type=int, default=150, metavar="N", help="mutants tried; 0 for all")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="copies of the tree worked in at a time")
    parser.add_argument(
        "--examples",
        type=int,
        metavar="N",
        help="most examples of a property test: faster, and the score a lower bound",
    )
    parser.add_argument(
        "--quick", action="store_true", help="without the tests marked slow: faster, and a lower bound too"
    )
    parser.add_argument("--file", help="only files whose path holds this text; nothing is written")
    parser.add_argument(
        "--tests", nargs="*", default=[], metavar="PATH", help="further tests that speak for the package"
    )
    return parser.parse_args()


def _sample(root: Path, package: str, only: str | None, count: int, seed: int) -> tuple[list[Mutation], int]:
    """(the mutants drawn, how many there are)."""
    every = [
        mutation
        for path in sorted((root / "pipelines" / package).rglob("*.py"))
        if only is None or only in str(path.relative_to(root))
        for mutation in mutations(str(path.relative_to(root)), path.read_text())
    ]
    if not every:
        raise SystemExit(f"Nothing to mutate in pipelines/{package}. The packages are the folders of pipelines/.")
    drawn = every if count == 0 else random.Random(seed).sample(every, min(count, len(every)))
    return sorted(drawn, key=lambda m: (m.file, m.start, m.new)), len(every)


def known_equivalent() -> dict[tuple[str, str, str], str]:
    """(file, line before, line after) of mutants known to change nothing a test could see: why."""
    rows = json.loads(EQUIVALENT.read_text())
    return {(row["file"], row["before"], row["after"]): row["reason"] for row in rows}


def summary(outcomes: list[Outcome], equivalent: dict[tuple[str, str, str], str]) -> dict[str, object]:
    """Counts, the score, and the survivors, equivalent ones apart."""
    counts = Counter(each.outcome for each in outcomes)
    survivors, same = [], []
    for each in outcomes:
        if each.outcome in ("survived", "uncovered"):
            reason = equivalent.get((each.mutation.file, each.before, each.after))
            survivors.append(each.row()) if reason is None else same.append(each.row() | {"reason": reason})
    killed = counts["killed"] + counts["timeout"]
    score = round(killed / max(1, len(outcomes) - len(same)), 3)
    return {"score": score, **counts, "survivors": survivors, "equivalent": same}


def row(package: str, report: Mapping[str, Any]) -> str:
    """A line of the table in docs/figures.md."""
    how = f"seed {report['seed']}" + (f", {report['examples']} examples" if report["examples"] else "")
    how += ", without slow tests" if report.get("quick") else ""
    survived, same = len(report["survivors"]), len(report["equivalent"])
    cells = [f"`pipelines/{package}`", f"{report['sample']} of {report['possible']:,}, {how}", f"{report['score']:.1%}"]
    return f"| {' | '.join([*cells, str(survived), str(same)])} |".replace("%", " %")


def _record(package: str, report: dict[str, object]) -> None:
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps(dict(sorted((known | {package: report}).items())), indent=1) + "\n")


if __name__ == "__main__":
    main()
