"""An order of one component's groups with a low peak of outputs plus own needs. Knows nothing of loads.

Small components are solved: a best-first search over sets of done groups that never raises the peak before it must, and
runs a group at once where that neither raises the peak nor leaves more behind. Large ones get the best of a few greedy
orders, then, if none fits the room, the same search within its effort. Least peak is NP-complete on general graphs.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

from pipelines.plan.heuristics.beam import beam_order

Sets = Sequence[Sequence[int]]
LARGE = 20_000  # groups beyond which only the greedy orders are tried
WORKS = (20_000, 100_000, 400_000)  # steps a beam search may try, about
MIXES = (0.5, 0.0, 1.0)  # rankings tried on a component that does not fit yet
SMALL = 16  # groups of a component that is always searched


def profile(order: Sequence[int], before: Sets, need: Sequence[int], keep: Sequence[int]) -> list[int]:
    """Bytes at the moment of each group of `order`: outputs kept so far plus its own need."""
    waiting = _successor_counts(before)
    live, moments = 0, []
    for group in order:
        moments.append(live + need[group])
        live += keep[group]
        for pred in before[group]:
            waiting[pred] -= 1
            if waiting[pred] == 0:
                live -= keep[pred]
    return moments


def _successor_counts(before: Sets) -> list[int]:
    waiting = [0] * len(before)
    for behind in before:
        for pred in behind:
            waiting[pred] += 1
    return waiting


def low_peak_order(before: Sets, need: Sequence[int], keep: Sequence[int], room: int, effort: int) -> list[int]:
    """A topological order whose highest moment is low; the lowest where the search ends within `effort` states."""
    after: list[list[int]] = [[] for _ in before]
    for group, behind in enumerate(before):
        for pred in behind:
            after[pred].append(group)
    made = [build(before, after, need, keep) for build in _GREEDY]
    best = min(made, key=lambda order: max(profile(order, before, need, keep), default=0))
    peak = max(profile(best, before, need, keep), default=0)
    if peak > max(need, default=0) and (peak > room or len(before) <= SMALL):
        found = search_order(before, after, need, keep, effort * SMALL // max(SMALL, len(before)))
        if found is None and peak > room and len(before) <= LARGE:
            tries = (beam_order(before, after, need, keep, room, mix, work) for work in WORKS for mix in MIXES)
            found = next((order for order in tries if order is not None), None)
        return found or best
    return best


def search_order(before: Sets, after: Sets, need: Sequence[int], keep: Sequence[int], effort: int) -> list[int] | None:
    """Best-first over sets of done groups; the order of least peak, or None where `effort` states did not suffice."""
    count, full = len(before), (1 << len(before)) - 1
    behind = [sum(1 << pred for pred in row) for row in before]
    ahead = [sum(1 << group for group in row) for row in after]
    heap: list[tuple[int, int, int, int, tuple[int, ...]]] = [(max(need), 0, 0, 0, ())]
    seen: set[int] = set()
    while heap and effort > 0:
        peak, _, live, done, path = heapq.heappop(heap)
        if done in seen:
            continue
        seen.add(done)
        effort -= 1
        ready = [group for group in range(count) if not done >> group & 1 and behind[group] & ~done == 0]
        options = []
        for group in ready:
            now = done | 1 << group
            gain = keep[group] - sum(keep[pred] for pred in before[group] if ahead[pred] & ~now == 0)
            options.append((max(peak, live + need[group]), -now.bit_count(), live + gain, now, (*path, group)))
        free = next((option for option in options if option[0] == peak and option[2] <= live), None)
        for option in options if free is None else [free]:
            if option[3] == full and (option[0] == peak or not heap or option[0] <= heap[0][0]):
                return list(option[4])
            if option[3] not in seen:
                heapq.heappush(heap, option)
        if done == full:
            return list(path)
    return None


def _last_in_first_out(before: Sets, after: Sets, need: Sequence[int], keep: Sequence[int]) -> list[int]:
    """Go on with what became ready last, smaller outputs first."""
    waiting = [len(behind) for behind in before]
    stack = [group for group in reversed(range(len(before))) if waiting[group] == 0]
    order = []
    while stack:
        group = stack.pop()
        order.append(group)
        freed = []
        for follower in after[group]:
            waiting[follower] -= 1
            if waiting[follower] == 0:
                freed.append(follower)
        stack.extend(sorted(freed, key=lambda other: (-keep[other], -other)))
    return order


def _least_gain(before: Sets, after: Sets, need: Sequence[int], keep: Sequence[int]) -> list[int]:
    """Always the ready group that leaves least behind. O((n + edges) log n)."""
    waiting, open_uses = [len(behind) for behind in before], [len(row) for row in after]
    done = [False] * len(before)

    def key(group: int) -> tuple[int, int, int]:
        gain = keep[group] - sum(keep[pred] for pred in before[group] if open_uses[pred] == 1)
        return (gain, need[group], group)

    heap = [key(group) for group in range(len(before)) if waiting[group] == 0]
    heapq.heapify(heap)
    order = []
    while heap:
        group = heapq.heappop(heap)[2]
        if done[group]:
            continue
        done[group] = True
        order.append(group)
        for pred in before[group]:
            open_uses[pred] -= 1
            if open_uses[pred] == 1:
                last = next(follower for follower in after[pred] if not done[follower])
                if waiting[last] == 0:
                    heapq.heappush(heap, key(last))
        for follower in after[group]:
            waiting[follower] -= 1
            if waiting[follower] == 0:
                heapq.heappush(heap, key(follower))
    return order


def _results_first(before: Sets, after: Sets, need: Sequence[int], keep: Sequence[int]) -> list[int]:
    """From each end backwards: first what the end needs, dearest branch first (Sethi and Ullman's rule on trees)."""
    done = [False] * len(before)
    order: list[int] = []
    for sink in (group for group in range(len(before)) if not after[group]):
        stack = [(sink, False)]
        while stack:
            group, ready = stack.pop()
            if done[group]:
                continue
            if ready:
                done[group] = True
                order.append(group)
                continue
            stack.append((group, True))
            stack.extend((pred, False) for pred in sorted(before[group], key=lambda p: (need[p] - keep[p], -p)))
    return order


Builder = Callable[[Sets, Sets, Sequence[int], Sequence[int]], list[int]]
_GREEDY: tuple[Builder, ...] = (_last_in_first_out, _least_gain, _results_first)
