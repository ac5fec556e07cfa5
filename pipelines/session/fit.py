"""What memory buys: the best variants that fit the limit, the frontier of limit against quality and time, the smallest tier."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.config import catalog
from pipelines.config.tier import load_tier
from pipelines.plan.variants.frontier import FrontierPoint, frontier
from pipelines.schema.errors import DoesNotFit
from pipelines.schema.settings import Settings
from pipelines.session.candidates import find_candidates, sizing_of
from pipelines.session.choice import RunChoice, builder, choose, fit_nodes, planner_of
from pipelines.session.device import find_device
from pipelines.session.inventory import take_inventory
from pipelines.session.pipeline_part import EVERYTHING, Selection


@dataclass(frozen=True)
class Fitting:
    """What was found.

    Attributes
    ----------
    limit_bytes : the limit in force, None for all of the device.
    nodes : those that have a choice.
    chosen : what is best under the limit; None where nothing fits, and `refused` says why.
    frontier : limit against quality and time, rising.
    smallest_tier : the tier of the smallest limit that works, None where none does.
    """

    limit_bytes: int | None
    nodes: tuple[str, ...]
    chosen: RunChoice | None
    refused: DoesNotFit | None
    frontier: tuple[FrontierPoint, ...]
    smallest_tier: str | None


def fit_pipeline(settings: Settings, selection: Selection = EVERYTHING) -> Fitting:
    """Try every set of variants that may be used here. Raises as `take_inventory` and `find_candidates` do."""
    device, _ = find_device(settings)
    inventory = take_inventory(settings, device, selection)
    candidates = find_candidates(inventory)
    sizing = sizing_of(inventory, candidates.margins)
    nodes = fit_nodes(candidates.by_node, settings.pinned)
    build = builder(inventory, candidates.by_node, sizing)
    points = frontier(nodes, build, planner_of(inventory.settings.tier))
    chosen, refused = None, None
    try:
        chosen = choose(inventory, candidates)
    except DoesNotFit as error:
        refused = error
    smallest = _smallest_tier(settings, points[0].limit_bytes if points else 0)
    return Fitting(sizing.limit_bytes, tuple(node.name for node in nodes), chosen, refused, points, smallest)


def _smallest_tier(settings: Settings, least: int) -> str | None:
    """The tier with the smallest limit that holds `least` bytes."""
    search = settings.source.search
    tiers = [load_tier(search, name) for name in catalog.options(search, "tier")]
    limited = sorted((t.limit_bytes, t.name) for t in tiers if t.limit_bytes is not None and t.limit_bytes >= least)
    return limited[0][1] if limited else None
