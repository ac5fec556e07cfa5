"""Show what memory buys: the variants of highest quality that fit, the frontier of limit against quality and time.

headroom fit pipeline=ultrasinger input=song.ogg
headroom fit pipeline=ultrasinger input=song.ogg tier.limit=2GiB --format json
"""

from __future__ import annotations

import argparse
import json

from pipelines.cli.plan import add_selection
from pipelines.config import catalog
from pipelines.schema.errors import DoesNotFit
from pipelines.schema.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `headroom fit`."""
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text (default) or one JSON object")
    add_selection(parser)


def main(args: argparse.Namespace, rest: list[str]) -> int:
    """Print the frontier, the choice under the limit, and the smallest tier that works."""
    from pipelines.cli.screen.show import console, table
    from pipelines.cli.verbs import composed_settings
    from pipelines.plan.variants.selection import frontier
    from pipelines.schema.units import MIB, format_bytes, format_seconds
    from pipelines.session.candidates import find_candidates, sizing_of
    from pipelines.session.choice import builder, choose, fit_nodes, planner_of
    from pipelines.session.device import find_device
    from pipelines.session.inventory import take_inventory
    from pipelines.session.selection import Selection

    settings = composed_settings(rest)
    if settings is None:
        return 0
    selection = Selection(tuple(args.only), tuple(args.first), tuple(args.last), tuple(args.trust))
    inventory = take_inventory(settings, find_device(settings)[0], selection)
    candidates = find_candidates(inventory)
    sizing = sizing_of(inventory, candidates.margins)
    nodes = fit_nodes(candidates.by_node, settings.pinned)
    build = builder(inventory, candidates.by_node, sizing)
    points = frontier(nodes, build, planner_of(inventory.settings.tier))
    refused: DoesNotFit | None = None
    chosen = None
    try:
        chosen = choose(inventory, candidates)
    except DoesNotFit as error:
        refused = error
    smallest = _smallest_tier(settings, points[0].limit_bytes if points else 0)
    if args.format == "json":
        body = {
            "schema": "headroom/fit/1",
            "limit_bytes": sizing.limit_bytes,
            "chosen": {node: variant.name for node, variant in chosen.variants.items()} if chosen else None,
            "smallest_tier": smallest,
            "frontier": [
                {"limit_bytes": p.limit_bytes, "quality": p.quality, "makespan_seconds": p.makespan_seconds,
                 "load_seconds": p.load_seconds, "variants": dict(p.variants)} for p in points
            ],
        }  # fmt: skip
        if refused is None:
            print(json.dumps(body, indent=1))
    else:
        made = table("limit MiB", "quality", "time", "loading", *(node.name for node in nodes), right=(0, 1, 2, 3))
        shown = None
        for p in points:
            row = (f"{p.quality:.2f}", format_seconds(p.makespan_seconds), format_seconds(p.load_seconds), p.variants)
            if row == shown:  # better by less than is shown
                continue
            shown = row
            fits = sizing.limit_bytes is None or p.limit_bytes <= sizing.limit_bytes
            made.add_row(
                f"{p.limit_bytes / MIB:,.0f}", *row[:3], *(p.variants[node.name].partition("/")[2] for node in nodes),
                style="" if fits else "dim",
            )  # fmt: skip
        out = console()
        out.print(made)
        limit = "the device" if sizing.limit_bytes is None else format_bytes(sizing.limit_bytes)
        if chosen is not None:
            out.print(f"\nUnder {limit}: {', '.join(_named(node, variant.name) for node, variant in chosen.variants.items())}"
                      f"{'' if chosen.best else ' (the best found within the budget)'}.", soft_wrap=True)  # fmt: skip
            for note in chosen.moved:
                out.print(note, soft_wrap=True)
        out.print(f"Smallest tier that works: {smallest or 'none of those here'}.")
    if refused is not None:
        raise refused
    return 0


def _named(node: str, variant: str) -> str:
    return variant if variant.startswith(f"{node}/") else f"{node}: {variant}"


def _smallest_tier(settings: Settings, least: int) -> str | None:
    """The tier with the smallest limit that holds `least` bytes."""
    from pipelines.config.tier import load_tier

    search = settings.source.search
    tiers = [load_tier(search, name) for name in catalog.options(search, "tier")]
    limited = sorted((t.limit_bytes, t.name) for t in tiers if t.limit_bytes is not None and t.limit_bytes >= least)
    return limited[0][1] if limited else None
