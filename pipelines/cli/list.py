"""Show what there is: pipelines, variants by role with what they need and whether they can be used here, tiers.

headroom list                     everything
headroom list variants            one table; also: pipelines, nodes, tiers
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from pipelines.cli import catalog
from pipelines.cli.compose import Composer, parse_hydra_flags
from pipelines.cli.settings import load_variant, read_pipeline, read_tier
from pipelines.cli.show import console, table
from pipelines.run.weights import locate, weights_home
from pipelines.schema.config import Footprint, Item, Variant, evaluate
from pipelines.schema.roles import ROLES
from pipelines.schema.units import MIB, format_bytes

WHAT = ("pipelines", "nodes", "variants", "tiers")
#: What the "needs" column is worked out for.
SONG = Item("a 4-minute song", seconds=240.0, channels=2)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `headroom list`."""
    parser.add_argument("what", nargs="?", choices=WHAT, help="one table only")


def main(args: argparse.Namespace, rest: list[str]) -> int:
    """Print the tables."""
    flags = parse_hydra_flags(rest)
    with Composer(flags) as composer:
        search = composer.search()
    home = weights_home(_value(flags.overrides, "weights_dir"))
    out = console()
    for name in WHAT:
        if args.what in (None, name):
            out.print(Text(name, style="bold"))
            tables = {"pipelines": _pipelines, "nodes": _nodes, "tiers": _tiers}
            _variants(out, search, home) if name == "variants" else tables[name](out, search)
            out.print()
    return 0


def _value(overrides: Sequence[str], key: str) -> str | None:
    """The last value of `key` among overrides, without the quotes that were put around it for Hydra."""
    given = [override.partition("=")[2] for override in overrides if override.lstrip("+").startswith(f"{key}=")]
    return given[-1].strip("'\"") if given else None


def _pipelines(out: Console, search: Sequence[Path]) -> None:
    made = table("pipeline", "nodes", "about")
    for name in catalog.options(search, "pipeline"):
        spec = read_pipeline(name, catalog.read(search, "pipeline", name))
        made.add_row(name, " ".join(node.name for node in spec.nodes), spec.about)
    out.print(made)


def _nodes(out: Console, search: Sequence[Path]) -> None:
    """Roles, with the ports every variant of theirs has."""
    made = table("role", "takes", "gives", "about")
    for role in ROLES.values():
        takes = ", ".join(f"{name}{'?' if port.optional else ''}: {port.type}" for name, port in role.inputs.items())
        made.add_row(
            role.name, takes, ", ".join(f"{name}: {port.type}" for name, port in role.outputs.items()), role.about
        )
    out.print(made)


def _variants(out: Console, search: Sequence[Path], home: Path) -> None:
    made = table("variant", "weights", "needs on a card", "on the CPU", "here", "licence", right=(1, 2, 3))
    for role in ROLES:
        found = [load_variant(search, role, name) for name in catalog.options(search, f"model/{role}")]
        for variant in sorted(found, key=lambda v: (-v.quality, v.name)):
            missing = locate(variant, home).missing
            card, cpu = (variant.footprints.get(kind, Footprint()) for kind in ("cuda", "cpu"))
            made.add_row(
                variant.name,
                f"{card.weights / MIB:,.0f}" if card.weights else "-",
                _need(card, variant),
                _need(cpu, variant),
                Text(_short(missing), style="dim") if missing else Text("ready", style="green"),
                variant.licence + ("" if variant.commercial_use else " (not commercial)"),
            )
    out.print(made)
    out.print(
        Text(f"MiB for {SONG.name}, libraries included. Weights are looked for in {home}.", style="dim"), soft_wrap=True
    )


def _need(footprint: Footprint, variant: Variant) -> str:
    total = footprint.weights + evaluate(footprint.workspace, SONG, variant.knobs) + sum(footprint.context.values())
    return f"{total / MIB:,.0f}" if total else "-"


def _short(missing: str) -> str:
    return missing.partition(" in ")[0] if "no weights in " in missing else missing


def _tiers(out: Console, search: Sequence[Path]) -> None:
    made = table("tier", "limit", "streams", "separate, transcribe, pitch: best allowed", "about", right=(1, 2))
    for name in catalog.options(search, "tier"):
        tier = read_tier(name, catalog.read(search, "tier", name))
        best = [tier.allow[role][0] for role in ("separate", "transcribe", "pitch") if tier.allow.get(role)]
        limit = format_bytes(tier.limit_bytes) if tier.limit_bytes is not None else "all"
        made.add_row(name, limit, str(tier.streams), ", ".join(best), tier.about)
    out.print(made)
