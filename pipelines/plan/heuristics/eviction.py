"""Which resident model to unload when room is short and the order of runs is known.

Belady's rule (unload what is used again latest) is optimal only for models of one size and one reload time. Here the
distance to the next use is weighed by bytes freed and seconds to load again; a model never used again goes first.

    now: run 7         next use  distance  bytes / reload seconds   score
      whisper             9         2             4                   8
      htdemucs           10         3             1                   3     <- whisper is unloaded
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipelines.plan.model.instance import Instance

#: The position of the next use of a model that is not used again.
NEVER = 1 << 40
#: Ways of weighing, see `eviction_weights`.
RULES = 3


def eviction_weights(instance: Instance, rule: int = 0) -> tuple[float, ...]:
    """For each model, what one position of distance to its next use counts for.

    rule: 0 counts bytes per reload second, 1 one per reload second, 2 one (distance alone: Belady).
    """
    costs = [max(cost, 1e-12) for cost in instance.reload_cost]
    if rule == 0:
        return tuple(weight / cost for weight, cost in zip(instance.weights, costs, strict=True))
    return tuple(1.0 / cost if rule == 1 else 1.0 for cost in costs)


def victim(next_use: Mapping[int, int], needed: int, position: int, weights: Sequence[float]) -> int:
    """The model to unload at `position`, or -1 where all are needed there.

    next_use: for each resident model the position of its next use. needed: models that must stay, as a bit mask. Of
    equals the first in `next_use` goes.
    """
    chosen, highest = -1, -1.0
    for model, use in next_use.items():
        if not needed >> model & 1:
            if use == NEVER:
                return model
            score = (use - position) * weights[model]
            if score > highest:
                chosen, highest = model, score
    return chosen
