"""The table of memory figures in docs/figures.md, made from results/memory.json alone: a row says what was measured, losses too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- made by python -m benchmarks.memory --table -->", "<!-- end of the memory table -->"
_GB = 1e9


def table(results: Mapping[str, Any]) -> str:
    """Markdown; parts that are not in `results` have no row."""
    rows = [row for part, rows in _ROWS.items() if part in results for row in rows(results[part])]
    return (
        "\n".join(["| what | result |", "| --- | --- |", *(f"| {what} | {result} |" for what, result in rows)]) + "\n"
    )


def written(page: str, results: Mapping[str, Any]) -> str:
    """The page with its table remade. Raises `ValueError` where its marks are not there."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"docs/figures.md lacks the marks {BEGIN} and {END}, between which the table goes.")
    return f"{before}{BEGIN}\n\n{table(results)}\n{END}{after}"


def write(page: Path, results: Mapping[str, Any]) -> None:
    """Remake the table in the file."""
    page.write_text(written(page.read_text(encoding="utf-8"), results), encoding="utf-8")


Rows = Iterator[tuple[str, str]]


def _limits(found: Mapping[str, Any]) -> Rows:
    failed = len(found["bad"])
    refused = found["refused"]
    yield (
        "randomised runs on `cpu` and `simulated`, measured peak <= limit",
        f"{found['runs'] - failed} of {found['runs']}; {refused} more were refused, each below its exact minimum",
    )
    yield (
        "use of the limit, median (least, most)",
        f"{found['utilisation_median']:.0%} ({found['utilisation_lowest']:.0%}, {found['utilisation_highest']:.0%})",
    )


def _faults(found: Mapping[str, Any]) -> Rows:
    yield (
        "faults at every step (memory, exception, `kill -9`, 10 and 30 % of the device gone, full disk, corrupt weights)",
        f"{found['runs'] - len(found['bad'])} of {found['runs']} runs ended completed or with the documented code, nothing lost or leaked",
    )


def _estimates(found: Mapping[str, Any]) -> Rows:
    for name, row in found["variants"].items():
        runs = row["runs"]
        yield (
            f"estimate after `measure`, unseen lengths: {name}",
            (
                f"mean error {row['mean_error']:.1%}, worst {row['worst_error']:+.1%}; {runs - row['outside']} of {runs} within "
                f"10 % or 32 MiB; {row['under']} under after a margin of {row['margin']:.0%}"
            ),
        )


def _loads(found: Mapping[str, Any]) -> Rows:
    for name, row in found["networks"].items():
        yield (
            f"load of {name}, {row['weights_bytes'] / _GB:.2f} GB, random weights, warm page cache",
            (
                f"{row['ours_core_seconds']:.2f} core seconds, {row['times_faster_than_library']:.1f} x its library's speed, "
                f"{row['of_reading_speed']:.2f} of reading the file; RAM at most {row['ours_peak_over_weights']:.2f} x weights "
                f"(library {row['library_peak_over_weights']:.2f})"
            ),
        )


def _pipelines(found: Mapping[str, Any]) -> Rows:
    rows = found["pipelines"]
    yield (
        "planned peak over the exact minimum, every shipped pipeline, best variants",
        f"at most {max(row['times_minimum'] for row in rows.values()):.2f}",
    )
    yield (
        "planned peak, and saving against everything resident (margins and context included)",
        "; ".join(
            f"{name} {row['planned_peak_bytes'] / _GB:.1f} GB, {row['saving']:.0%}" for name, row in rows.items()
        ),
    )
    int8 = next(row for name, row in rows.items() if "int8" in name)
    yield (
        "UltraSinger with an 8-bit Whisper, before margins and context",
        f"{int8['bare_bytes'] / _GB:.2f} GB",
    )
    service = found["voice_service"]
    yield (
        f"XTTS + F5 + RVC resident with their workspaces, {service['resident_bytes'] / _GB:.1f} GB: planned saves",
        "; ".join(
            f"{kind} {row['saving']:.0%} ({row['saving_without_context']:.0%} without the context)"
            for kind, row in service["planned"].items()
        ),
    )


def _batch(found: Mapping[str, Any]) -> Rows:
    for name, row in found["chains"].items():
        yield (
            f"{found['items']} items at the peak of one, {name} (nodes that sleep as long as a card is said to take)",
            (
                f"load and unload time that shows: {row['exposed']:.2f} of load-use-unload per item; "
                f"the whole batch {row['times_faster']:.2f} x as fast"
            ),
        )


_ROWS = {
    "limits": _limits, "estimates": _estimates, "pipelines": _pipelines, "batch": _batch, "loads": _loads, "faults": _faults,
}  # fmt: skip
