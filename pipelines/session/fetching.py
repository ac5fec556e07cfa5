"""What a run needs first and is not here: weights are fetched, environments built, as the user's settings allow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipelines.schema.config import Variant
from pipelines.schema.errors import UsageError
from pipelines.session.availability import WeightsPolicy, check_environment, look_up
from pipelines.session.prepare import Prepared
from pipelines.session.watcher import Watcher
from pipelines.weights.environments import environment_for
from pipelines.weights.fetch import fetch
from pipelines.weights.hub import Hub


def fetch_variant(variant: Variant, terms: WeightsPolicy, watcher: Watcher, hub: Hub | None = None) -> Path | None:
    """Weights and environment of a variant, fetched or built where they are not here. Returns where the weights lie.

    Raises `UsageError` where its licence was not accepted or its environment may not be installed, and as `fetch` does.
    """
    found = look_up(variant, terms)
    if found.consent:
        raise UsageError(f"{variant.name} is not fetched: {found.consent}.")
    check_environment(variant, found)
    if variant.environment and found.python is None:
        watcher.say(f"Building the environment of {variant.name}: {', '.join(variant.environment)}.")
        environment_for(variant.environment, trusted=True)
    path = look_up(variant, terms).weights.path
    if path is not None or variant.weights is None:
        return path
    from pipelines.weights.huggingface import HuggingFace  # what speaks HTTP is loaded where something is fetched

    with watcher.transfer() as report:
        return fetch(variant, terms.home, hub or HuggingFace(), report, begin=watcher.say)


def with_fetched(prepared: Prepared, watcher: Watcher) -> Prepared:
    """The same, with what the user pinned and is not here fetched, now that there is a plan for it."""
    if not prepared.absent:
        return prepared
    inventory = prepared.inventory
    terms = WeightsPolicy.of(inventory.settings, trusted=inventory.trusted)
    found = dict(inventory.found)
    for variant in prepared.absent:
        fetch_variant(variant, terms, watcher)
        found[variant.origin] = look_up(variant, terms)
    return replace(prepared, inventory=replace(inventory, found=found))
