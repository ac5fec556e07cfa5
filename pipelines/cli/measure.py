"""Measure what a variant takes on this machine, in a fresh process, and store it for every later plan.

headroom measure pitch/crepe_full     at several lengths of input
headroom measure --all                every variant that can be used here
headroom measure --sizes 5,10,20 pitch/crepe_tiny
"""

from __future__ import annotations

import argparse

from pipelines.cli.verbs import all_variants, composed_settings, named_variants, names_and_settings
from pipelines.footprints.measurement import Measurement
from pipelines.paths import user_folders
from pipelines.schema.config import Variant
from pipelines.schema.errors import TaskFailed, UsageError, did_you_mean
from pipelines.schema.settings import Settings
from pipelines.schema.units import MIB, format_bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `headroom measure`."""
    parser.add_argument("variants", nargs="*", default=[], metavar="ROLE/NAME", help="which to measure")
    parser.add_argument("--all", action="store_true", help="every variant whose weights and packages are here")
    parser.add_argument("--sizes", default="", metavar="SECONDS,...", help="lengths of sound to try; default 2,5,10,20")
    parser.add_argument(
        "--trust", action="append", default=[], metavar="PACKAGE", help="allow _target_s of this package"
    )


def main(args: argparse.Namespace, rest: list[str]) -> int:
    """Measure, store, print."""
    from pipelines.cli.screen.show import console, table
    from pipelines.devices.torch_environment import set_torch_variables
    from pipelines.node_classes import trusted_packages
    from pipelines.session.availability import WeightsPolicy, look_up
    from pipelines.session.device import find_device
    from pipelines.session.learn import measure_variant

    names, given = names_and_settings(args.variants)
    settings = composed_settings([*given, *rest, "pipeline=ultrasinger"])
    if settings is None:
        return 0
    set_torch_variables(settings.tier.allocator)  # what its children measure is what a run will see
    terms, (device, _) = WeightsPolicy.of(settings, trusted_packages(args.trust)), find_device(settings)
    made = table("variant", "weights MiB", "load s", "workspace", "error", "source", right=(1, 2))
    for variant in _wanted(settings, names, args.all):
        found = look_up(variant, terms)
        if missing := found.consent or found.weights.missing:
            if args.all:
                continue
            raise TaskFailed(f"{variant.name} cannot be measured: {missing}.")
        made.add_row(*_row(measure_variant(variant, found, device, terms.trusted, _sizes(args.sizes))))
    out = console()
    out.print(made)
    out.print(f"Stored in {user_folders().footprints}.", soft_wrap=True)
    return 0


def _row(measured: Measurement) -> tuple[str, ...]:
    fitted = measured.regression
    terms = " + ".join(f"{format_bytes(size)} {term}" for term, size in fitted.terms.items()) or "0"
    worst = max((abs(error) for error in fitted.errors), default=0.0)
    weights, seconds = f"{measured.weights_bytes / MIB:,.0f}", f"{measured.load_seconds:.1f}"
    return measured.variant, weights, seconds, terms, f"{worst:.1%}", measured.source


def _wanted(settings: Settings, names: list[str], everything: bool) -> list[Variant]:
    if everything:
        return all_variants(settings)
    if not names:
        known = [variant.name for variant in all_variants(settings)]
        raise UsageError(f"Name what to measure, or --all. {did_you_mean('', known)}")
    return named_variants(settings, names)


def _sizes(text: str) -> tuple[float, ...]:
    try:
        sizes = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise UsageError(f"--sizes {text!r} must be seconds with commas, like 2,5,10.") from None
    if any(not 0 < size <= 36000 for size in sizes):
        raise UsageError("--sizes must be above 0 and at most 36000 seconds.")
    return sizes
