"""What benchmarks/results says of a node, as it is shown in docs/nodes: each bar with its figure, then every measurement."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def measured(part: str) -> str:
    """Of results/models_PART.json: when and where, bars, and a table of seconds and bytes. `song`: of results/song.json."""
    if part == "song":
        return _song(json.loads((RESULTS / "song.json").read_text(encoding="utf-8")))
    found = json.loads((RESULTS / f"models_{part}.json").read_text(encoding="utf-8"))
    machine = found["machine"]
    head = (
        f"`python -m benchmarks.models {part}` on {machine['date']}: {machine['cpu']}, {machine['cores']} cores in use by others "
        f"(load {machine['load_average_at_end']:g}), {machine['threads']} threads of torch {machine['torch']}."
    )
    bars = [f"- {'' if met else '**missed:** '}{bar}" for bar, met in found["bars"].items()]
    note = [f"- {found['note']}."] if "note" in found else []
    return "\n".join([head, "", *bars, *note, "", *_variants(found.get("variants") or {}), *_runs(found)])


def _runs(found: Mapping[str, Any]) -> list[str]:
    """A row for each measurement; processor seconds where they were taken."""
    leaves = list(_leaves(found, ()))
    used = any("processor_seconds" in row for _, row in leaves)
    columns = ["run", "seconds", *(["of the processor"] if used else []), "MiB above what was held before"]
    rows = [
        [" ".join(path).replace("_", " "), f"{row['seconds']:,.1f}", *([_seconds(row)] if used else []),
         f"{row['peak_mib']:,.0f}"]
        for path, row in leaves
    ]  # fmt: skip
    return [f"| {' | '.join(row)} |" for row in [columns, ["---"] * len(columns), *rows]] if rows else []


def _seconds(row: Mapping[str, Any]) -> str:
    return f"{row['processor_seconds']:,.1f}" if "processor_seconds" in row else ""


def _leaves(found: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Every measurement in there, by where it is."""
    if "peak_mib" in found:
        yield path, found
    for name, inner in found.items():
        if isinstance(inner, Mapping):
            yield from _leaves(inner, (*path, name))


def _variants(rows: Mapping[str, Any]) -> list[str]:
    """Whisper's: measured bytes beside those declared, in MB."""
    if not rows:
        return []
    lines = [
        "| variant | weights | while loading | workspace, by batch | seconds for windows of 28 s, by batch |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, row in rows.items():
        workspace = ", ".join(f"{batch}: {took / 1e6:.0f}" for batch, (took, _) in row["workspace"].items())
        seconds = ", ".join(f"{batch}: {took:g}" for batch, took in row["seconds"].items())
        lines.append(
            f"| `{name}` | {row['weights'][0] / 1e6:,.0f} MB | {row['load_peak'][0] / 1e6:,.0f} MB | {workspace} MB | {seconds} |"
        )
    return [*lines, ""]


def _song(found: Mapping[str, Any]) -> str:
    """Scores of notes on generated songs, by method and where the words came from."""
    head = f"`python -m benchmarks.song`: {len(found['songs'])} generated songs that nothing was tuned on, pitch by `{found['pitch']}`."
    methods = {name: row for name, row in found["summary"].items() if isinstance(row, Mapping)}
    names = list(next(iter(methods.values())))
    rows = [f"| {name} | {' | '.join(f'{row[score]:.3f}' for score in names)} |" for name, row in methods.items()]
    return "\n".join([head, "", f"| method, words | {' | '.join(names)} |", f"| --- |{' --- |' * len(names)}", *rows])
