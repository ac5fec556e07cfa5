"""Model weights: which are here, getting those that are not, and checking that they are what they should be.

headroom weights list                          where, size, licence, state
headroom weights fetch transcribe/small_int8   goes on where it stopped
headroom weights fetch speak/xtts accept_licence=[xtts]
headroom weights verify                        SHA-256 of every file here
headroom weights verify separate/htdemucs weights_dir=weights

A node whose packages conflict with ours (speak/f5) gets an environment of its own; `fetch` builds it, `list` shows it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from pipelines.cli.screen.show import console, table
from pipelines.cli.screen.watch import Screen
from pipelines.cli.verbs import all_variants, composed_settings, named_variants, names_and_settings
from pipelines.schema.config import Variant
from pipelines.schema.errors import Differs, TaskFailed, UsageError, did_you_mean
from pipelines.schema.settings import Settings
from pipelines.schema.units import format_bytes
from pipelines.session.availability import WeightsPolicy, look_up
from pipelines.session.fetching import fetch_variant
from pipelines.weights import WeightsLocation
from pipelines.weights.environments import environments
from pipelines.weights.locations import fetch_command
from pipelines.weights.manifest import Verdict, verify
from pipelines.weights.spec import names_in

ACTIONS = ("list", "fetch", "verify")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `headroom weights`."""
    parser.add_argument("action", choices=ACTIONS, help="what to do")
    parser.add_argument(
        "variants", nargs="*", default=[], metavar="ROLE/NAME", help="which; list and verify take all by default"
    )


def main(args: argparse.Namespace, rest: list[str]) -> int:
    """List, fetch or verify."""
    names, given = names_and_settings(args.variants)
    settings = composed_settings([*given, *rest, "pipeline=ultrasinger"])
    if settings is None:
        return 0
    variants = named_variants(settings, names)
    terms = WeightsPolicy.of(settings)
    if args.action == "list":
        _list(console(), variants or all_variants(settings), terms)
    elif args.action == "fetch":
        _fetch(console(), variants, terms, settings)
    else:
        _verify(console(), variants, variants or all_variants(settings), terms)
    return 0


def _list(out: Console, variants: Sequence[Variant], terms: WeightsPolicy) -> None:
    made = table("variant", "size", "licence", "state", right=(1,))
    made.columns[2].no_wrap = True
    for variant in variants:
        available = look_up(variant, terms)
        found = available.weights
        consent = "licence not accepted" if available.consent else ""
        reasons = [reason for reason in (consent, _short(found.missing)) if reason]
        state = Text("; ".join(reasons), style="dim") if reasons else Text("ready", style="green")
        if found.path:
            state.append(f", {found.where}: {found.path}", style="dim")
        made.add_row(variant.name, _size(variant, found), variant.licence, state)
    out.print(made)
    out.print(Text(f"The weights folder is {terms.home}. ~ is what a fetch brings.", style="dim"), soft_wrap=True)
    for built in environments():
        size = format_bytes(built.bytes) if built.ready else "not finished"
        out.print(
            Text(f"Environment {built.folder.name} ({size}): {', '.join(built.packages)}", style="dim"), soft_wrap=True
        )


def _size(variant: Variant, found: WeightsLocation) -> str:
    spec = variant.weights
    if spec is None:
        return "-"
    if found.path is not None:
        names = names_in(spec, found.path) if found.path.is_dir() else [""]
        return format_bytes(sum((found.path / name).stat().st_size for name in names))
    return f"~{format_bytes(spec.size)}" if spec.size else "-"


def _short(missing: str) -> str:
    short = missing.partition(" in ")[0] if "no weights in " in missing else missing
    return short.replace("its own environment is not built", "environment not built")


def _fetch(out: Console, variants: Sequence[Variant], terms: WeightsPolicy, settings: Settings) -> None:
    if not variants:
        known = [variant.name for variant in all_variants(settings) if look_up(variant, terms).weights.fetchable]
        raise UsageError(
            f"Name what to fetch, for example headroom weights fetch transcribe/small. {did_you_mean('', known)}"
        )
    if terms.offline:
        raise UsageError("offline=true fetches nothing. Leave it away to fetch.")
    for variant in variants:
        path = fetch_variant(variant, terms, Screen(out))
        out.print(
            f"{variant.name}: {path or 'nothing to fetch, its weights are in its library or it needs none.'}",
            soft_wrap=True,
        )


def _verify(out: Console, named: Sequence[Variant], variants: Sequence[Variant], terms: WeightsPolicy) -> None:
    made = table("variant", "file", "SHA-256", "state")
    wrong: list[str] = []
    for variant in variants:
        spec, found = variant.weights, look_up(variant, terms).weights
        if spec is None or found.path is None:
            if variant in named and spec is not None:
                raise TaskFailed(
                    f"{variant.name} cannot be verified: {found.missing}. {_advice(variant, found.fetchable)}".strip()
                )
            continue
        for verdict in verify(found.path, spec):
            made.add_row(variant.name, verdict.name, verdict.found[:16] or "-", _state(verdict))
            wrong += [f"{variant.name} {verdict.name}"] if verdict.state in ("differs", "missing") else []
    out.print(made if made.row_count else "No weights are here to verify.")
    if wrong:
        raise Differs(
            f"{len(wrong)} files are not what they should be: {', '.join(wrong)}. Remove them and fetch again."
        )


def _state(verdict: Verdict) -> Text:
    style = {"ok": "green", "unrecorded": "dim"}.get(verdict.state, "bold red")
    message = {
        "unrecorded": "nobody recorded what it should be",
        "differs": f"differs, should be {verdict.expected[:16]}",
    }
    return Text(message.get(verdict.state, verdict.state), style=style)


def _advice(variant: Variant, fetchable: bool) -> str:
    return f"`{fetch_command(variant)}` gets them." if fetchable else ""
