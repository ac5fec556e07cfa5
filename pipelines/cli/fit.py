"""Show what memory buys: the variants of highest quality that fit, the frontier of limit against quality and time.

headroom fit pipeline=ultrasinger input=song.ogg
headroom fit pipeline=ultrasinger input=song.ogg tier.limit=2GiB --format json
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from pipelines.cli.plan import add_selection, selection_of

if TYPE_CHECKING:
    from rich.table import Table

    from pipelines.session.fit import Fitting


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `headroom fit`."""
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text (default) or one JSON object")
    add_selection(parser)


def main(args: argparse.Namespace, rest: list[str]) -> int:
    """Print the frontier, the choice under the limit, and the smallest tier that works."""
    from pipelines.cli.verbs import composed_settings
    from pipelines.session.fit import fit_pipeline

    settings = composed_settings(rest)
    if settings is None:
        return 0
    found = fit_pipeline(settings, selection_of(args))
    if args.format == "text":
        _show(found)
    if found.refused is not None:
        raise found.refused
    if args.format == "json":
        print(json.dumps(_as_json(found), indent=1))
    return 0


def _as_json(found: Fitting) -> dict[str, Any]:
    chosen = found.chosen
    return {
        "schema": "headroom/fit/1",
        "limit_bytes": found.limit_bytes,
        "chosen": {node: variant.name for node, variant in chosen.variants.items()} if chosen else None,
        "smallest_tier": found.smallest_tier,
        "frontier": [
            {"limit_bytes": p.limit_bytes, "quality": p.quality, "makespan_seconds": p.makespan_seconds,
             "load_seconds": p.load_seconds, "variants": dict(p.variants)} for p in found.frontier
        ],
    }  # fmt: skip


def _show(found: Fitting) -> None:
    from pipelines.cli.screen.show import console
    from pipelines.schema.units import format_bytes

    out = console()
    out.print(_frontier(found))
    limit = "the device" if found.limit_bytes is None else format_bytes(found.limit_bytes)
    if found.chosen is not None:
        named = ", ".join(_named(node, variant.name) for node, variant in found.chosen.variants.items())
        budget = "" if found.chosen.best else " (the best found within the budget)"
        out.print(f"\nUnder {limit}: {named}{budget}.", soft_wrap=True)
        for note in found.chosen.moved:
            out.print(note, soft_wrap=True)
    out.print(f"Smallest tier that works: {found.smallest_tier or 'none of those here'}.")


def _frontier(found: Fitting) -> Table:
    from pipelines.cli.screen.show import table
    from pipelines.schema.units import MIB, format_seconds

    made = table("limit MiB", "quality", "time", "loading", *found.nodes, right=(0, 1, 2, 3))
    shown = None
    for p in found.frontier:
        row = (f"{p.quality:.2f}", format_seconds(p.makespan_seconds), format_seconds(p.load_seconds), p.variants)
        if row == shown:  # better by less than is shown
            continue
        shown = row
        fits = found.limit_bytes is None or p.limit_bytes <= found.limit_bytes
        names = (p.variants[node].partition("/")[2] for node in found.nodes)
        made.add_row(f"{p.limit_bytes / MIB:,.0f}", *row[:3], *names, style="" if fits else "dim")
    return made


def _named(node: str, variant: str) -> str:
    return variant if variant.startswith(f"{node}/") else f"{node}: {variant}"
