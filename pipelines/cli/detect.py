"""Show this machine's hardware, the tier it is, and with --explain where each effective setting comes from.

headroom detect                            cards, driver, torch, memory, tier
headroom detect --force                    look anew instead of remembering
headroom detect --explain tier.streams=2   every setting and its source
headroom detect device=simulated device.name="RTX 3060"
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from textwrap import wrap

from pipelines.config import catalog
from pipelines.config.compose import Composer
from pipelines.config.flags import parse_hydra_flags
from pipelines.schema.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `headroom detect`."""
    parser.add_argument("--force", action="store_true", help="ask the driver anew")
    parser.add_argument("--explain", action="store_true", help="every effective setting with its source")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text (default) or one JSON object")


def main(args: argparse.Namespace, rest: list[str]) -> int:
    """Print what was found."""
    from pipelines.config.settings import read_settings
    from pipelines.devices.detect import as_if, detect, render
    from pipelines.devices.registry import device_kinds

    given = list(rest)
    flags = parse_hydra_flags([*rest, "pipeline=ultrasinger"])
    with Composer(flags) as composer:
        composed = composer.compose()
        settings = read_settings(composed)
    device = settings.device
    kind = device_kinds().get(device.kind)
    if kind is not None and kind.virtual:
        lines = _simulated(settings)
        print(
            json.dumps({"tier": settings.tier.name, "card": lines[0]})
            if args.format == "json"
            else "\n".join(_folded(lines))
        )
    else:
        found = detect(force=args.force)
        found = found if device.total is None else as_if(found, device.total)
        if args.format == "json":
            print(json.dumps(asdict(found), indent=1, default=str))
        else:
            print("\n".join(_folded(render(found))))
    if args.explain and args.format == "text":
        print()
        print("\n".join(_explained(settings, composed.choices.get("profile") or "auto", given)))
    return 0


def _folded(lines: Iterable[str]) -> list[str]:
    """The lines at the terminal's width, what is folded set in a little; in a file or a pipe as they are."""
    from pipelines.cli.screen.show import console

    width = console().width
    return [part for line in lines for part in wrap(line, width, subsequent_indent="    ") or [""]]


def _simulated(settings: Settings) -> list[str]:
    from pipelines.config.cards import simulated_card
    from pipelines.schema.hardware import classify
    from pipelines.schema.units import format_bytes

    card = simulated_card(settings.device, settings.source.search)
    tier, reason = classify(card)
    return [f"card: {card.name}, {format_bytes(card.total_bytes)} (simulated)", f"tier: {tier}", f"  {reason}"]


def _explained(settings: Settings, profile: str, given: list[str]) -> list[str]:
    from pipelines.cli.screen.show import console
    from pipelines.config.effective import effective, flatten, render
    from pipelines.config.variables import read_dotenv

    tier, search = settings.tier.name, settings.source.search
    groups = ("tier", "profile", "pipeline", "model", "device", "executor")
    defaults: dict[str, object] = {}
    for key, value in settings.resolved.items():
        if key not in groups:
            defaults |= flatten(value, str(key)) if isinstance(value, dict) else {str(key): value}
    every = effective(
        tier=(tier, catalog.read(search, "tier", tier)),
        profile=(profile, catalog.read(search, "profile", profile)),
        dotenv=read_dotenv(Path(".env")),
        environ=os.environ,
        given=given,
        defaults=defaults,
    )
    return list(render(every, console().width))
