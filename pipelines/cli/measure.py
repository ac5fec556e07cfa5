"""Measure what a variant takes on this machine, in a fresh process, and remember it for every later plan.

headroom measure pitch/crepe_full     at several lengths of input
headroom measure --all                every variant that can be used here
headroom measure --sizes 5,10,20 pitch/crepe_tiny
"""

from __future__ import annotations

import argparse

from pipelines.config import catalog
from pipelines.config.variants import load_variant
from pipelines.paths import user_folders
from pipelines.schema.config import Variant
from pipelines.schema.errors import TaskFailed, UsageError, did_you_mean
from pipelines.schema.roles import ROLES
from pipelines.schema.settings import Settings


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
    from pipelines.cli.verbs import composed_settings, names_and_settings
    from pipelines.devices.torch_environment import set_torch_variables
    from pipelines.footprints.measurement import DEFAULT_SIZES, measure, sizes_for
    from pipelines.footprints.store import FootprintStore, Key
    from pipelines.node_classes import trusted_packages
    from pipelines.schema.units import MIB, format_bytes
    from pipelines.session.availability import Terms, look_up
    from pipelines.session.device import find_device
    from pipelines.session.inventory import weights_digest

    names, given = names_and_settings(args.variants)
    settings = composed_settings([*given, *rest, "pipeline=ultrasinger"])
    if settings is None:
        return 0
    set_torch_variables(settings.tier.allocator)  # what its children measure is what a run will see
    wanted = _wanted(settings, names, args.all)
    sizes = _sizes(args.sizes) or DEFAULT_SIZES
    store = FootprintStore(user_folders().footprints)
    how = Terms.of(settings, trusted_packages(args.trust))
    device, _ = find_device(settings)
    place = {"spec": device.spec, "total": device.total_bytes}
    made = table("variant", "weights MiB", "load s", "workspace", "error", "source", right=(1, 2))
    for variant in wanted:
        found = look_up(variant, how)
        lacking = found.consent or found.weights.missing
        if lacking:
            if not args.all:
                raise TaskFailed(f"{variant.name} cannot be measured: {lacking}.")
            continue
        seen = measure(
            variant, sizes_for(variant.role, sizes), weights=found.weights.path, device=place, python=found.python,
            trusted=how.trusted,
        )  # fmt: skip
        store.add(Key.of(variant, weights_digest(variant, found.weights.path), device.footprint_key), seen.observations)
        terms = " + ".join(f"{format_bytes(size)} {term}" for term, size in seen.regression.terms.items()) or "0"
        worst = max((abs(error) for error in seen.regression.errors), default=0.0)
        made.add_row(
            variant.name,
            f"{seen.weights_bytes / MIB:,.0f}",
            f"{seen.load_seconds:.1f}",
            terms,
            f"{worst:.1%}",
            seen.source,
        )
    out = console()
    out.print(made)
    out.print(f"Remembered in {store.path}.", soft_wrap=True)
    return 0


def _wanted(settings: Settings, names: list[str], everything: bool) -> list[Variant]:
    search = settings.source.search
    known = [f"{role}/{name}" for role in ROLES for name in catalog.options(search, f"model/{role}")]
    if everything:
        names = known
    if not names:
        raise UsageError(f"Name what to measure, or --all. {did_you_mean('', known)}")
    for name in names:
        if name not in known:
            raise UsageError(f"There is no variant {name!r}. {did_you_mean(name, known)}")
    return [load_variant(search, *name.split("/", 1)) for name in names]


def _sizes(text: str) -> tuple[float, ...]:
    try:
        sizes = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise UsageError(f"--sizes {text!r} must be seconds with commas, like 2,5,10.") from None
    if any(not 0 < size <= 36000 for size in sizes):
        raise UsageError("--sizes must be above 0 and at most 36000 seconds.")
    return sizes
