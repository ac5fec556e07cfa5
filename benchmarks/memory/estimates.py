"""Prediction after `measure`, on input sizes it has not seen: error of the estimate, and whether a margin ever was too small."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.footprints.measurement import Size, measure
from pipelines.footprints.regression import NOISE, margin
from pipelines.libraries import memory_versions
from pipelines.schema.config import Variant


@dataclass(frozen=True)
class Case:
    """A shipped node, the sizes it is measured at, and how many unseen runs up to `longest` seconds are predicted.

    characters: to each of those seconds, for nodes that are given a text. make: writes real-size random weights.
    """

    variant: Variant
    sizes: tuple[float, ...]
    runs: int
    longest: float
    make: Callable[[Path], Any] | None = None
    characters: int = 0

    def size(self, seconds: float) -> Size:
        return Size(seconds, characters=round(seconds * self.characters))


def cases(quick: bool) -> list[Case]:
    crepe, swift = "nodes.pitch.crepe.Crepe", "nodes.pitch.swift.Swift"
    if quick:
        return [Case(_variant(crepe, size="tiny", batch=64), (0.5, 1, 2), 5, 2.2), Case(_variant(swift), (1, 4), 5, 12)]
    return [
        Case(_variant(crepe, size="tiny", batch=64), (0.5, 1, 2), 80, 8),
        Case(_variant(swift), (1, 4, 8), 90, 12),
        Case(_variant("nodes.separate.demucs.Demucs", name="htdemucs", segment=7.8), (3, 9), 6, 15, _demucs),
        Case(_variant("nodes.convert.rvc.Rvc", index=0.0, segment=38.0), (1, 2, 5), 6, 8, _rvc),
        Case(_variant("nodes.speak.xtts.Xtts", chunk=20), (2, 5), 6, 8, _xtts, characters=14),
        Case(_variant(crepe, size="full", batch=32), (0.5, 1.0), 12, 3),
    ]


def _demucs(folder: Path) -> None:
    from fractions import Fraction

    from tests.checkpoints.demucs import REAL, make_demucs

    make_demucs(folder, sizes=REAL, segment=Fraction(39, 5))


def _rvc(folder: Path) -> None:
    from benchmarks.models.convert import make_real

    make_real(str(folder))


def _xtts(folder: Path) -> None:
    from benchmarks.memory.networks import xtts

    xtts().save(folder)


def pieces(quick: bool) -> Iterator[dict[str, Any]]:
    """What is known after each variant: rows by variant, and the bars of all so far."""
    rows: dict[str, Any] = {}
    for case in cases(quick):
        rows[case.variant.name] = _row(case)
        yield _so_far(rows)


def _so_far(rows: Mapping[str, Any]) -> dict[str, Any]:
    total = sum(row["runs"] for row in rows.values())
    return {
        "versions": memory_versions(),
        "variants": dict(rows),
        "runs": total,
        "bars": {
            "error at most max(10 %, 32 MiB)": all(row["outside"] == 0 for row in rows.values()),
            "no under-estimate after the margin": all(row["under"] == 0 for row in rows.values()),
            "margin at most 10 %": all(row["margin"] <= 0.10 for row in rows.values()),
            "200 runs or more": total >= 200,
        },
    }


def _variant(target: str, **knobs: Any) -> Variant:
    label = " ".join([target.rpartition(".")[2], *(f"{name}={value}" for name, value in knobs.items())])
    return Variant(label, "benchmark", target, knobs=knobs)


def _row(case: Case) -> dict[str, Any]:
    """Measure, then predict runs of another process at random sizes. Bytes are peaks above what was held before a run;
    errors are of the step's whole peak: weights and workspace, as a plan adds them."""
    rng = random.Random(case.variant.name)
    unseen = [case.size(round(rng.uniform(0.5, case.longest), 2)) for _ in range(case.runs)]
    with tempfile.TemporaryDirectory() as folder:
        if case.make:
            case.make(Path(folder))
        given: Any = {"weights": Path(folder) if case.make else None}
        known = measure(case.variant, [case.size(seconds) for seconds in case.sizes], **given)
        later = measure(case.variant, unseen, **given)
    share = margin(known.regression.errors)
    errors, under, outside = [], 0, 0
    for size, seen in zip(unseen, (each for each in later.observations if each.op == "run"), strict=True):
        workspace = known.regression.predict(size.item(), case.variant.knobs)
        predicted, measured = known.weights_bytes + workspace, later.weights_bytes + seen.bytes
        errors.append((predicted - measured) / measured)
        outside += abs(predicted - measured) > max(0.10 * measured, NOISE)
        under += predicted * (1 + share) < measured
    return {
        "source": known.source,
        "measured_at_seconds": list(case.sizes),
        "weights_bytes": known.weights_bytes,
        "workspace": dict(known.regression.terms),
        "runs": len(errors),
        "worst_error": round(max(errors, key=abs), 4),
        "mean_error": round(sum(abs(error) for error in errors) / len(errors), 4),
        "outside": outside,
        "margin": round(share, 4),
        "under": under,
    }
