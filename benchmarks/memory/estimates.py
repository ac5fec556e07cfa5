"""Prediction after `measure`, on input sizes it has not seen: error of the estimate, and whether a margin ever was too small."""

from __future__ import annotations

import random
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.memory.loads import _ask
from pipelines.run.fit import NOISE, margin, with_margin
from pipelines.run.footprints import library_versions
from pipelines.run.measure import measure
from pipelines.schema.config import Item, Variant


@dataclass(frozen=True)
class Case:
    """A variant, the sizes it is measured at, and how many unseen runs up to `longest` seconds are predicted."""

    variant: Variant
    sizes: tuple[float, ...]
    runs: int
    longest: float
    network: str = ""


def cases(quick: bool) -> list[Case]:
    few = 5 if quick else 95
    found = [
        Case(_variant("nodes.pitch.crepe.Crepe", size="tiny", batch=64), (1, 2, 4, 8), few, 16),
        Case(_variant("nodes.pitch.crepe.Crepe", size="full", batch=32), (1, 2, 3), 5 if quick else 25, 4),
        Case(_variant("benchmarks.memory.standins.Hubert", segment=10.0), (2, 4, 8), few, 16, "hubert"),
    ]
    if not quick:
        found += [
            Case(_variant("benchmarks.memory.standins.Htdemucs", segment=7.8), (3, 6), 6, 12, "htdemucs"),
            Case(_variant("benchmarks.memory.standins.XttsVocoder", segment=10.0), (1, 3, 6), 6, 8, "xtts"),
        ]
    return found


def run(quick: bool) -> dict[str, Any]:
    """Rows by variant, and the bars of the whole."""
    rows = {case.variant.name: _row(case) for case in cases(quick)}
    total = sum(row["runs"] for row in rows.values())
    return {
        "versions": library_versions(),
        "variants": rows,
        "runs": total,
        "bars": {
            "error at most max(10 %, 32 MiB)": all(row["outside"] == 0 for row in rows.values()),
            "no under-estimate after the margin": all(row["under"] == 0 for row in rows.values()),
            "margin at most 10 %": all(row["margin"] <= 0.10 for row in rows.values()),
            "200 runs or more": total >= 200,
        },
    }


def _variant(target: str, **knobs: Any) -> Variant:
    label = " ".join([target.rpartition(".")[2].lower(), *(str(value) for value in knobs.values())])
    return Variant(label, "benchmark", target, knobs=knobs)


def _row(case: Case) -> dict[str, Any]:
    """Measure, then predict runs of another process at random sizes. Bytes are peaks above what was held before a run;
    errors are of the step's whole peak: weights and workspace, as a plan adds them."""
    rng = random.Random(case.variant.name)
    unseen = [round(rng.uniform(0.5, case.longest), 2) for _ in range(case.runs)]
    with tempfile.TemporaryDirectory() as folder:
        if case.network:
            _ask("save", case.network, folder)
        given: Any = {"weights": Path(folder) if case.network else None, "trusted": ("nodes", "benchmarks")}
        known = measure(case.variant, case.sizes, **given)
        later = measure(case.variant, unseen, **given)
    share = margin(known.fit.errors)
    errors, under, outside = [], 0, 0
    for seconds, seen in zip(unseen, (each for each in later.observations if each.op == "run"), strict=True):
        workspace = known.fit.predict(Item("", seconds=seconds), case.variant.knobs)
        predicted, measured = known.weights_bytes + workspace, later.weights_bytes + seen.bytes
        errors.append((predicted - measured) / measured)
        outside += abs(predicted - measured) > max(0.10 * measured, NOISE)
        under += with_margin(predicted, share) < measured
    return {
        "source": known.source,
        "measured_at_seconds": list(case.sizes),
        "weights_bytes": known.weights_bytes,
        "workspace": dict(known.fit.terms),
        "runs": len(errors),
        "worst_error": round(max(errors, key=abs), 4),
        "mean_error": round(sum(abs(error) for error in errors) / len(errors), 4),
        "outside": outside,
        "margin": round(share, 4),
        "under": under,
    }
