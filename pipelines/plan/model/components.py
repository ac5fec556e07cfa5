"""Connected components of tasks (or groups) that wait for each other."""

from __future__ import annotations

from collections.abc import Sequence

Neighbours = Sequence[Sequence[int]]


def connected_components(preds: Neighbours, succs: Neighbours) -> list[list[int]]:
    """The nodes of each component, rising; components by their lowest node. O(nodes log nodes + edges).

    >>> connected_components(preds=[(), (0,), ()], succs=[(1,), (), ()])
    [[0, 1], [2]]
    """
    seen = [False] * len(preds)
    found = []
    for start in range(len(preds)):
        if seen[start]:
            continue
        seen[start], component = True, [start]
        for node in component:  # grows while it is walked
            for near in (*preds[node], *succs[node]):
                if not seen[near]:
                    seen[near] = True
                    component.append(near)
        found.append(sorted(component))
    return found
