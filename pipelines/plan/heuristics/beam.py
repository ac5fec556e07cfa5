"""Beam search for an order of one large component that fits the room, where no simple order does.

States are sets of done groups; all of a step have equally many. A group that fits and leaves no more behind than before runs at
once. Otherwise a state is ranked by its live outputs, mixed with what they would be if every successor gave back its
share: a group that brings the end of a large output nearer is worth something though it frees nothing yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Sets = Sequence[Sequence[int]]
WIDEST = 200


@dataclass(frozen=True, slots=True)
class _State:
    live: int
    shared: float
    done: int
    ready: tuple[int, ...]
    waiting: tuple[int, ...]
    uses: tuple[int, ...]
    last: _State | None
    group: int


def beam_order(
    before: Sets, after: Sets, need: Sequence[int], keep: Sequence[int], room: int, mix: float, work: int
) -> list[int] | None:
    """A topological order with every moment within `room`, or None.

    `mix`: weight of shared outputs in the ranking, 0 to 1. `work`: steps to try, about; it sets the width of the beam.
    """
    waiting = tuple(len(row) for row in before)
    ready = tuple(group for group, count in enumerate(waiting) if count == 0)
    layer = [_State(0, 0.0, 0, ready, waiting, tuple(len(row) for row in after), None, -1)]
    width = max(2, min(WIDEST, work // max(1, len(before) * 12)))
    for _ in before:
        ranked = []
        for number, state in enumerate(layer):
            ranked += [(score, number, group) for score, group in _options(state, before, need, keep, room, mix)]
        ranked.sort()
        layer = _next_layer(layer, ranked, before, after, keep, width)
        if not layer:
            return None
    return _path(layer[0])


def _options(
    state: _State, before: Sets, need: Sequence[int], keep: Sequence[int], room: int, mix: float
) -> list[tuple[float, int]]:
    found = []
    for group in state.ready:
        if state.live + need[group] <= room:
            gain = keep[group] - sum(keep[pred] for pred in before[group] if state.uses[pred] == 1)
            share = keep[group] - sum(keep[pred] / state.uses[pred] for pred in before[group])
            score = (1 - mix) * (state.live + gain) + mix * (state.shared + share)
            if gain <= 0:
                return [(score, group)]
            found.append((score, group))
    return found


def _next_layer(
    layer: list[_State],
    ranked: list[tuple[float, int, int]],
    before: Sets,
    after: Sets,
    keep: Sequence[int],
    width: int,
) -> list[_State]:
    seen: set[int] = set()
    made: list[_State] = []
    for _, number, group in ranked:
        done = layer[number].done | 1 << group
        if done not in seen:
            seen.add(done)
            made.append(_after(layer[number], group, before, after, keep))
            if len(made) == width:
                break
    return made


def _after(state: _State, group: int, before: Sets, after: Sets, keep: Sequence[int]) -> _State:
    waiting, uses = list(state.waiting), list(state.uses)
    live, shared = state.live, state.shared
    for pred in before[group]:
        shared -= keep[pred] / len(after[pred])
        uses[pred] -= 1
        if uses[pred] == 0:
            live -= keep[pred]
    ready = [other for other in state.ready if other != group]
    for follower in after[group]:
        waiting[follower] -= 1
        if waiting[follower] == 0:
            ready.append(follower)
    live, shared = live + keep[group], shared + keep[group]
    return _State(live, shared, state.done | 1 << group, tuple(ready), tuple(waiting), tuple(uses), state, group)


def _path(state: _State) -> list[int]:
    order = []
    while state.last is not None:
        order.append(state.group)
        state = state.last
    return order[::-1]
