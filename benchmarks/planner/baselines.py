"""What others do, on the same problems: an order of the tasks, and a rule for which model leaves when room is needed.

Orders: first in first out, depth first (item after item, what most tools do), waves (stage by stage over some items at
a time), random restarts of a greedy that stays with the models it has. Rules: least recently used, Belady (furthest
next use), Belady by next use x bytes / reload seconds. An order that cannot be carried out under the limit gives None.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pipelines.plan.model.instance import Instance
from pipelines.plan.model.moves import LoadMove, Move, RunMove, UnloadMove

Rule = Callable[["Cache", int], float]
Made = tuple[float, list[Move]]


def baselines(instance: Instance, seed: int = 0) -> dict[str, Made | None]:
    """Every baseline's load seconds and moves by name."""
    first, deep = fifo(instance), depth_first(instance)
    return {
        "FIFO + LRU": carried_out(instance, first, lru),
        "FIFO + Belady": carried_out(instance, first, belady),
        "FIFO + cost-size Belady": carried_out(instance, first, cost_size),
        "depth first": carried_out(instance, deep, cost_size),
        "waves": best(carried_out(instance, order, cost_size) for order in waves(instance)),
        "random restarts": best(
            carried_out(instance, random_greedy(instance, random.Random(f"{seed}/{i}")), cost_size)
            for i in range(max(2, min(30, 30_000 // max(1, len(instance.task_ids)))))
        ),
    }


def best(made: object) -> Made | None:
    found = [one for one in made if one is not None]  # type: ignore[attr-defined]
    return min(found, key=lambda one: one[0]) if found else None


# -- orders


def fifo(instance: Instance) -> list[int]:
    """As soon as ready, in the order of the problem."""
    waiting = [len(before) for before in instance.preds]
    ready = [task for task, count in enumerate(waiting) if not count]
    order = []
    while ready:
        task = heapq.heappop(ready)
        order.append(task)
        for after in _released(instance, task, waiting):
            heapq.heappush(ready, after)
    return order


def depth_first(instance: Instance) -> list[int]:
    """One item to its end, then the next."""
    waiting = [len(before) for before in instance.preds]
    stack = [task for task, count in enumerate(waiting) if not count][::-1]
    order = []
    while stack:
        task = stack.pop()
        order.append(task)
        stack += reversed(_released(instance, task, waiting))
    return order


def waves(instance: Instance) -> list[list[int]]:
    """Stage by stage over 1, 4, 16, ... items at a time and over all of them."""
    items = _items(instance)
    sizes = [4**power for power in range(12) if 4**power < len(items)] + [max(1, len(items))]
    made = []
    for size in sizes:
        order: list[int] = []
        for start in range(0, len(items), size):
            batch = [task for item in items[start : start + size] for task in item]
            order += sorted(batch, key=lambda t: (instance.generation[t], instance.needs[t], t))
        made.append(order)
    return made


def random_greedy(instance: Instance, draw: random.Random) -> list[int]:
    """Stay with a set of models while tasks are ready for it; then one of the sets cheapest to reach, or any at times."""
    waiting = [len(before) for before in instance.preds]
    ready: dict[int, list[int]] = {}
    for task, count in enumerate(waiting):
        if not count:
            ready.setdefault(instance.needs[task], []).append(task)
    order: list[int] = []
    here = 0
    while ready:
        if here not in ready:
            here = _leap(instance, draw, here, list(ready))
        bucket = ready[here]
        task = bucket.pop(draw.randrange(len(bucket)) if len(bucket) < 64 else -1)
        if not bucket:
            del ready[here]
        order.append(task)
        for after in _released(instance, task, waiting):
            ready.setdefault(instance.needs[after], []).append(after)
    return order


def _leap(instance: Instance, draw: random.Random, here: int, sets: list[int]) -> int:
    if draw.random() < 0.1:
        return draw.choice(sets)
    costs = [sum(instance.load_cost[m] for m in range((s & ~here).bit_length()) if (s & ~here) >> m & 1) for s in sets]
    least = min(costs)
    return draw.choice([s for s, cost in zip(sets, costs, strict=True) if cost == least])


def _released(instance: Instance, task: int, waiting: list[int]) -> list[int]:
    freed = []
    for after in instance.succs[task]:
        waiting[after] -= 1
        if not waiting[after]:
            freed.append(after)
    return freed


def _items(instance: Instance) -> list[list[int]]:
    """Connected components, each by the order of its first task."""
    item = [-1] * len(instance.task_ids)
    found: list[list[int]] = []
    for start in range(len(item)):
        if item[start] >= 0:
            continue
        item[start], members = len(found), [start]
        for task in members:  # grows while it is walked
            for near in (*instance.preds[task], *instance.succs[task]):
                if item[near] < 0:
                    item[near] = len(found)
                    members.append(near)
        found.append(members)
    return found


# -- rules


def lru(cache: Cache, model: int) -> float:
    return -cache.last_use[model]


def belady(cache: Cache, model: int) -> float:
    return cache.next_use(model)


def cost_size(cache: Cache, model: int) -> float:
    wait = cache.next_use(model) - cache.now
    return wait * cache.instance.weights[model] / max(1e-9, cache.instance.reload_cost[model])


@dataclass
class Cache:
    """The models on the device while an order is carried out, and when each is used."""

    instance: Instance
    order: Sequence[int]
    now: int = 0
    resident: set[int] = field(default_factory=set)
    last_use: dict[int, int] = field(default_factory=dict)
    uses: dict[int, list[int]] = field(default_factory=dict)
    pointer: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for position, task in enumerate(self.order):
            for model in self.instance.need_lists[task]:
                self.uses.setdefault(model, []).append(position)
        self.pointer = dict.fromkeys(self.uses, 0)

    def next_use(self, model: int) -> float:
        uses, at = self.uses[model], self.pointer[model]
        while at < len(uses) and uses[at] < self.now:
            at += 1
        self.pointer[model] = at
        return uses[at] if at < len(uses) else math.inf


def carried_out(instance: Instance, order: Sequence[int], rule: Rule) -> Made | None:
    """(load seconds, moves) of running `order`, evicting by the highest `rule`; None where a task finds no room."""
    cache = Cache(instance, order)
    waiting = [len(after) for after in instance.succs]
    loaded: set[int] = set()
    seconds, live, moves = 0.0, 0, list[Move]()
    for cache.now, task in enumerate(order):
        room = math.inf if instance.room is None else instance.room - live
        evicted = _evictions(cache, task, room, rule)
        if evicted is None:
            return None
        moves += map(UnloadMove, evicted)
        for model in _missing(cache, task):
            moves.append(LoadMove(model))
            seconds += instance.reload_cost[model] if model in loaded else instance.load_cost[model]
            loaded.add(model)
            cache.resident.add(model)
        moves.append(RunMove((task,)))
        cache.last_use.update(dict.fromkeys(instance.need_lists[task], cache.now))
        live += instance.output[task] if instance.succs[task] else 0
        for before in instance.preds[task]:
            waiting[before] -= 1
            live -= 0 if waiting[before] else instance.output[before]
    return seconds, moves


def _missing(cache: Cache, task: int) -> list[int]:
    it = cache.instance
    away = [m for m in it.need_lists[task] if m not in cache.resident]
    return sorted(away, key=lambda m: (it.weights[m] - it.load_peak[m], m))


def _evictions(cache: Cache, task: int, room: float, rule: Rule) -> list[int] | None:
    """Models to unload before `task`, highest `rule` first, until its loads and its run fit into `room`."""
    it, needed = cache.instance, set(cache.instance.need_lists[task])
    held = sum(it.weights[m] for m in needed if m in cache.resident)
    most = 0
    for model in _missing(cache, task):
        most = max(most, held + it.load_peak[model])
        held += it.weights[model]
    most = max(most, held + it.workspace[task] + it.output[task])
    others = sorted(cache.resident - needed)
    kept = sum(it.weights[m] for m in others)
    evicted = []
    while kept + most > room:
        if not others:
            return None
        worst = max(others, key=lambda m: (rule(cache, m), m))
        others.remove(worst)
        cache.resident.discard(worst)
        kept -= it.weights[worst]
        evicted.append(worst)
    return evicted
