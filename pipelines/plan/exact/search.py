"""Least load seconds, proved: best-first search over (done tasks, resident models).

What a state costs. Every model is loaded once whatever happens; call that the compulsory cost. All that a plan can do
wrong is to unload a model some later task needs. So a state is charged the reload *when it evicts such a model*, and
loading is free. That is A* with the compulsory loads as its estimate, written so that equal states compare by one
number, `paid`, and the search for a plan that never reloads is a plain walk at `paid` = 0.

    limit 10, models a 4, b 5, c 4; tasks 1:a  2:b  3:c  4:ab, 4 after 3

    done -      resident -      paid 0
      | run 1   (then nothing free)
    done 1      resident a      paid 0 ---------- run 3 --------- done 13    resident ac   paid 0
      | run 2                                                       | run 2, evicting c (no longer needed: free)
    done 12     resident ab     paid 0                            done 1324  resident ab   paid 0   <- 4 is a free move
      | run 3, evicting a or b (both needed by 4: pays)
    done 1234 ...               paid reload(a) or reload(b)       never popped: the other way ended with 0

What keeps it small:

- Free moves (`Space.settle`): a ready task whose models are resident, that fits and leaves no more live bytes runs at
  once, when its state is taken off the heap. The done-sets in between are never branched on.
- Lazy loads and evictions: a model is loaded for the run that needs it, and evicted only when that run lacks room, in
  every smallest way (`Space.stays`). Only a model whose load peak may pass its run's peak can pay to be loaded early.
- Dominance: of two states with the same tasks done, (R, paid) is dropped for (R', paid') when
  paid' + reload(R' - R) <= paid: the second could load what it lacks and be no worse off.
- Symmetry: exchangeable tasks are ordered beforehand (`symmetry`), so that equal items become counts.
- The incumbent: nothing that costs as much as a plan already known is kept.

The search ends with the optimum, with the proof that no plan exists, or at its budget with a proved bound: the least
`paid` still open.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from pipelines.plan.exact.space import OutOfWork, Space
from pipelines.plan.model.bits import bits
from pipelines.plan.model.instance import Instance
from pipelines.plan.model.moves import LoadMove, Move, RunMove, UnloadMove
from pipelines.plan.model.needs import load_order

#: Seen states a new one is compared with. Dominance only saves work, and a longer list costs more than it saves.
COMPARED = 96
#: Seen states compared in the time of one unit of work.
AT_ONCE = 12


@dataclass(frozen=True, slots=True)
class Result:
    """What the search knows. `moves`: a plan cheaper than the incumbent, or None. `lower_bound`: load seconds no plan
    goes below. `exhausted`: the whole space was searched, so that no plan beats `moves` (or the incumbent), and without
    either none exists."""

    moves: list[Move] | None
    lower_bound: float
    exhausted: bool
    expansions: int


@dataclass(frozen=True, slots=True)
class _Node:
    """One state before its free moves and how it was reached: from `parent`, keeping `keep`, loading `new`, running `task`."""

    done: int
    resident: int
    paid: int
    parent: _Node | None
    task: int
    keep: int
    new: int


def solve(instance: Instance, budget: int, incumbent: float | None = None) -> Result:
    """The plan of least load seconds, within `budget` units of work; only plans cheaper than `incumbent` are looked for.

    A unit is a state made, a dozen compared, or a part of the resident models weighed: some microseconds each.
    """
    return _Search(Space(instance), incumbent).go(budget)


class _Search:
    def __init__(self, space: Space, incumbent: float | None) -> None:
        self.space = space
        self.first = space.load_units(space.used)
        self.cap = None if incumbent is None else _units(incumbent, space.unit) - self.first
        self.heap: list[tuple[int, int, int, _Node]] = []
        self.serial = 0

    def go(self, budget: int) -> Result:
        space = self.space
        self._push(_Node(space.start(), 0, 0, None, -1, 0, 0))
        everything, least = (1 << space.count) - 1, 0
        space.budget = budget
        while self.heap:
            least, _, _, node = heapq.heappop(self.heap)
            if _dominated(space, node.done, node.resident, least, is_seen=True):
                continue
            done = space.settle(node.done, node.resident)
            resident = node.resident & space.done[done].needed
            if done == everything:
                return Result(_moves(space, node), self._bound(least), space.complete, space.work)
            if done != node.done and not self._enter(done, resident, least):
                continue
            try:
                for child in _children(space, node, done, resident, self.cap):
                    self._push(child)
            except OutOfWork:
                return Result(None, self._bound(least), False, space.work)
        return Result(None, self._bound(self.cap or 0), space.complete, space.work)

    def _bound(self, paid: int) -> float:
        return (self.first + (paid if self.space.complete else 0)) / self.space.unit

    def _push(self, node: _Node) -> None:
        self.space.spend(1 + min(COMPARED, len(self.space.done[node.done].seen)) // AT_ONCE)
        if (self.cap is None or node.paid < self.cap) and self._enter(node.done, node.resident, node.paid):
            self.serial += 1
            heapq.heappush(self.heap, (node.paid, -node.done.bit_count(), self.serial, node))

    def _enter(self, done: int, resident: int, paid: int) -> bool:
        """Note a state as seen, unless one seen before is no worse."""
        if _dominated(self.space, done, resident, paid, is_seen=False):
            return False
        self.space.done[done].seen[resident] = paid
        return True


def _units(seconds: float, unit: int) -> int:
    top, bottom = seconds.as_integer_ratio()
    return -(-top * unit // bottom)


def _dominated(space: Space, done: int, resident: int, paid: int, *, is_seen: bool) -> bool:
    """Whether a seen state is no worse than this one; `is_seen`: this one is itself among the seen."""
    seen = space.done[done].seen
    early, drop = space.high_load_peak, space.drop
    known = seen.get(resident)
    if known is not None and (known < paid or (known == paid and not is_seen)):
        return True
    return any(
        cost <= paid and other != resident and not resident & ~other & early and cost + drop(other & ~resident) <= paid
        for other, cost in islice(seen.items(), COMPARED)
    )


def _children(space: Space, node: _Node, done: int, resident: int, cap: int | None) -> Iterator[_Node]:
    """Every next task with every smallest eviction, from `node` after its free moves (`done`, `resident`)."""
    current = space.done[done]
    room = space.room - current.live
    for task in bits(current.ready):
        spare = room - space.base[task]
        if spare < 0:
            continue
        if space.high_load_peak:
            for keep, new in space.early(done, resident, task, spare):
                yield _child(space, node, (done, resident), task, keep, new)
            continue
        need = space.needs[task]
        stays, new = resident & need, need & ~resident
        for cost, stay in space.stays(resident & ~need, spare):
            if cap is not None and node.paid + cost >= cap:
                break
            yield _child(space, node, (done, resident), task, stay | stays, new)


def _child(space: Space, node: _Node, state: tuple[int, int], task: int, keep: int, new: int) -> _Node:
    """Unload all but `keep`, load `new`, run `task`. What is not needed again is not counted as resident."""
    done = space.advance(state[0], task)
    current = space.done[done]
    lost = state[1] & ~keep & (current.needed | new)
    paid = node.paid
    if lost:
        paid += space.reload_units(lost & current.ever) + space.load_units(lost & ~current.ever)
    return _Node(done, (keep | new) & current.needed, paid, node, task, keep, new)


def _moves(space: Space, last: _Node) -> list[Move]:
    """The path to `last` as moves, the free moves after it included."""
    path = []
    node: _Node | None = last
    while node is not None:
        path.append(node)
        node = node.parent
    moves: list[Move] = []
    resident = 0
    for node in reversed(path):
        if node.parent is not None:
            moves += [UnloadMove(m) for m in bits(resident & ~node.keep)]
            moves += [LoadMove(m) for m in load_order(space.instance, bits(node.new))]
            moves.append(RunMove((node.task,)))
            moves += [UnloadMove(m) for m in bits((node.keep | node.new) & ~node.resident)]
        ran: list[int] = []
        done = space.settle(node.done, node.resident, ran)
        moves += [RunMove((task,)) for task in ran]
        resident = node.resident & space.done[done].needed
        moves += [UnloadMove(m) for m in bits(node.resident & ~resident)]
    return moves
