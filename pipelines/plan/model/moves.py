"""The moves a search makes: load a model, unload one, run tasks. All by index of the instance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.plan.model.instance import Instance


@dataclass(frozen=True, slots=True)
class LoadMove:
    """Load model `model`; with `during` (a task of the next run) as a prefetch."""

    model: int
    during: int | None = None


@dataclass(frozen=True, slots=True)
class UnloadMove:
    """Unload model `model`."""

    model: int


@dataclass(frozen=True, slots=True)
class RunMove:
    """Run `tasks` at the same time."""

    tasks: tuple[int, ...]


Move = LoadMove | UnloadMove | RunMove


def load_seconds(instance: Instance, moves: Sequence[Move]) -> float:
    """Total seconds of all loads in `moves`: a model's first load costs `load_cost`, every later one `reload_cost`."""
    loaded: set[int] = set()
    total = 0.0
    for move in moves:
        if isinstance(move, LoadMove):
            total += instance.reload_cost[move.model] if move.model in loaded else instance.load_cost[move.model]
            loaded.add(move.model)
    return total
