"""Puts unloads as early as they can go and drops loads nobody uses. Changes no order of runs and adds no byte."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.plan.assemble import LoadMove, Move, RunMove
from pipelines.plan.assemble import UnloadMove as Unload
from pipelines.plan.instance import Instance


def tidy(instance: Instance, moves: Sequence[Move]) -> list[Move]:
    """The same runs and loads, each unload right after the last run that uses the model, the rest at the end.

    A load whose model is unloaded before a run uses it is dropped with its unload.
    """
    last_use: dict[int, int] = {}
    loaded_at: dict[int, int] = {}
    dropped: set[int] = set()
    after: dict[int, list[int]] = {}

    def close(model: int) -> None:
        start = loaded_at.pop(model)
        if model in last_use:
            after.setdefault(last_use.pop(model), []).append(model)
        else:
            dropped.add(start)

    for index, move in enumerate(moves):
        if isinstance(move, RunMove):
            for task in move.tasks:
                for model in instance.need_lists[task]:
                    last_use[model] = index
        elif isinstance(move, LoadMove):
            loaded_at[move.model] = index
        else:
            close(move.model)
    for model in sorted(loaded_at):
        close(model)
    return [
        made
        for index, move in enumerate(moves)
        if index not in dropped and not isinstance(move, Unload)
        for made in (move, *(Unload(model) for model in sorted(after.get(index, ()))))
    ]
