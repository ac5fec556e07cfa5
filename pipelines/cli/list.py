"""Show what there is: pipelines, roles, variants and tiers; what they need, and what can be used here.

headroom list                   everything
headroom list variants tiers    some; also: pipelines, nodes
headroom list tier=low_end      what is too large for that tier
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from rich.console import Console
from rich.text import Text

from pipelines.cli.screen.show import console, table
from pipelines.cli.verbs import all_variants, composed_settings, names_and_settings
from pipelines.config import catalog
from pipelines.config.pipeline import read_pipeline
from pipelines.config.tier import load_tier
from pipelines.paths import user_folders
from pipelines.schema.config import Item, Variant, evaluate
from pipelines.schema.errors import UsageError, did_you_mean
from pipelines.schema.hardware import MemoryKind
from pipelines.schema.roles import ROLES
from pipelines.schema.settings import Settings, Tier
from pipelines.schema.units import MIB, format_bytes
from pipelines.weights import locate

#: What the need of a variant is worked out for.
SONG = Item("a 4-minute song", seconds=240.0, channels=2)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `headroom list`."""
    parser.add_argument("what", nargs="*", default=[], metavar="WHAT", help=f"of {', '.join(TABLES)}; default: all")


def main(args: argparse.Namespace, rest: list[str]) -> int:
    """Print the tables."""
    wanted, given = names_and_settings(args.what)
    for name in wanted:
        if name not in TABLES:
            raise UsageError(f"There is no table {name!r}. {did_you_mean(name, TABLES)}")
    settings = composed_settings([*given, *rest, "pipeline=ultrasinger"])
    if settings is None:
        return 0
    out = console()
    for name in [name for name in TABLES if name in wanted] or TABLES:
        out.print(Text(name, style="bold"))
        TABLES[name](out, settings)
        out.print()
    return 0


def _pipelines(out: Console, settings: Settings) -> None:
    search = settings.source.search
    made = table("pipeline", "nodes", "about")
    for name in catalog.options(search, "pipeline"):
        spec = read_pipeline(name, catalog.read(search, "pipeline", name))
        made.add_row(name, " ".join(node.name for node in spec.nodes), spec.about)
    out.print(made)


def _nodes(out: Console, settings: Settings) -> None:
    """Roles, with the ports every variant of theirs has."""
    made = table("role", "takes", "gives", "about")
    for role in ROLES.values():
        takes = ", ".join(f"{name}{'?' if port.optional else ''}: {port.type}" for name, port in role.inputs.items())
        gives = ", ".join(f"{name}: {port.type}" for name, port in role.outputs.items())
        made.add_row(role.name, takes, gives, role.about)
    out.print(made)


def _variants(out: Console, settings: Settings) -> None:
    from pipelines.session.device import find_device, limit_of

    device, _ = find_device(settings)
    limit, home = limit_of(settings, device), user_folders(settings.options.weights_dir).weights
    made = table("variant", "card", "CPU", "here", "licence", right=(1, 2))
    for variant in all_variants(settings):
        card, host = _need(variant, "accelerator"), _need(variant, "host")
        state = _state(variant, host if device.memory == "host" else card, limit, home, settings.tier)
        licence = variant.licence + ("" if variant.commercial_use else " *")
        made.add_row(variant.name, _mebibytes(card), _mebibytes(host), state, licence)
    out.print(made)
    held = format_bytes(limit) if limit is not None else "all"
    where = "RAM" if device.memory == "host" else device.name
    for line in (
        f"MiB for {SONG.name}, libraries included, on a card and on the CPU.",
        f"here: tier {settings.tier.name}, {held} of {where}. `headroom weights list` says what is missing.",
        "not in tier: only used where model/ROLE=NAME names it, or tier.allow.ROLE=[...,NAME] adds it.",
        "*: not for commercial use.",
    ):
        out.print(Text(line, style="dim"))


def _need(variant: Variant, memory: MemoryKind) -> int:
    """Bytes of the variant at work on the song, with what its libraries hold."""
    footprint = variant.footprint_in(memory)
    working = evaluate(footprint.workspace, SONG, variant.knobs)
    return footprint.weights + math.ceil(working) + sum(footprint.context.values())


def _mebibytes(count: int) -> str:
    return f"{count / MIB:,.0f}" if count else "-"


def _state(variant: Variant, need: int, limit: int | None, home: Path, tier: Tier) -> Text:
    if limit is not None and need > limit:
        return Text("too large", style="yellow")
    if variant.stem not in tier.allow.get(variant.role, (variant.stem,)):
        return Text("not in tier", style="dim")
    return Text("missing", style="dim") if locate(variant, home).missing else Text("ready", style="green")


def _tiers(out: Console, settings: Settings) -> None:
    search = settings.source.search
    made = table(
        "tier", "limit", "streams", "best it allows to separate, transcribe, track pitch", "about", right=(1, 2)
    )
    for name in catalog.options(search, "tier"):
        tier = load_tier(search, name)
        best = [tier.allow[role][0] for role in ("separate", "transcribe", "pitch") if tier.allow.get(role)]
        limit = format_bytes(tier.limit_bytes) if tier.limit_bytes is not None else "all"
        made.add_row(name, limit, str(tier.streams), ", ".join(best), tier.about)
    out.print(made)


#: In the order they are shown.
TABLES = {"pipelines": _pipelines, "nodes": _nodes, "variants": _variants, "tiers": _tiers}
