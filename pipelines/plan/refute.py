"""Tries to refute a claimed lower bound: searches for a cheaper plan within a small effort.

Part of the certificate, so it shares no code with the planner. It finding nothing proves nothing, except on problems
of a few tasks, which it searches whole: least cost first over single moves (load one model, unload one, run one task).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.schema.problem import Problem

#: Moves looked at before giving up: about a tenth of a second.
EFFORT = 20_000
#: Larger problems would be given up anyway.
MOST_TASKS = 64


def cheaper_loads(problem: Problem, below: float, effort: int = EFFORT) -> float | None:
    """Load seconds of some plan that loads for less than `below` seconds, or None where none was found."""
    if len(problem.tasks) > MOST_TASKS:
        return None
    search = _Search(problem)
    start = _State(0, 0, 0, 0)
    open_states = [(search.still_to_load(start), 0, 0, 0.0, start)]
    best, looked = {start: 0.0}, 0
    while open_states and looked < effort:
        floor, _, _, spent, state = heapq.heappop(open_states)
        if floor >= below:
            return None
        if state.ran == search.everything:
            return spent
        for after, cost in search.moves(state):
            looked += 1
            total = spent + cost
            if total < best.get(after, math.inf) and (floor := total + search.still_to_load(after)) < below:
                best[after] = total
                heapq.heappush(open_states, (floor, -after.ran.bit_count(), looked, total, after))
    return None


@dataclass(frozen=True, slots=True)
class _State:
    """Sets as bits: tasks that ran; models that are resident, resident and unused so far, loaded at some time."""

    ran: int
    resident: int
    fresh: int
    loaded: int


class _Search:
    def __init__(self, problem: Problem) -> None:
        self.tasks, self.models = problem.tasks, list(problem.models.values())
        model_bit = {model.id: 1 << index for index, model in enumerate(self.models)}
        task_bit = {task.id: 1 << index for index, task in enumerate(self.tasks)}
        self.needs = [sum(model_bit[name] for name in task.models) for task in self.tasks]
        self.before = [sum(task_bit[name] for name in task.after) for task in self.tasks]
        self.everything = (1 << len(self.tasks)) - 1
        self.room = math.inf if problem.limit_bytes is None else problem.limit_bytes - problem.context_bytes
        self.known: dict[int, tuple[int, int]] = {}

    def after(self, ran: int) -> tuple[int, int]:
        """Once these tasks ran: the models still needed, the bytes of live outputs."""
        if ran not in self.known:
            left = [index for index in range(len(self.tasks)) if not ran >> index & 1]
            needed = awaited = 0
            for index in left:
                needed |= self.needs[index]
                awaited |= self.before[index]
            live = sum(task.output_bytes for index, task in enumerate(self.tasks) if ran & awaited & 1 << index)
            self.known[ran] = needed, live
        return self.known[ran]

    def still_to_load(self, state: _State) -> float:
        """Seconds at the very least: models still needed that are missing are loaded once more."""
        missing = self.after(state.ran)[0] & ~state.resident
        return sum(self.seconds(state, index) for index in range(len(self.models)) if missing >> index & 1)

    def seconds(self, state: _State, index: int) -> float:
        model = self.models[index]
        return model.reload_seconds if state.loaded >> index & 1 else model.load_seconds

    def moves(self, state: _State) -> Iterator[tuple[_State, float]]:
        """Every next state and what the move costs, of moves that keep the limit."""
        ran, resident, fresh, loaded = state.ran, state.resident, state.fresh, state.loaded
        weights = sum(model.weights_bytes for index, model in enumerate(self.models) if resident >> index & 1)
        room = self.room - weights - self.after(ran)[1]
        for index, task in enumerate(self.tasks):
            ready = not ran >> index & 1 and not self.before[index] & ~ran and not self.needs[index] & ~resident
            if ready and task.output_bytes + task.workspace_bytes <= room:
                yield _State(ran | 1 << index, resident, fresh & ~self.needs[index], loaded), 0.0
        for index, model in enumerate(self.models):
            bit = 1 << index
            if not resident & bit and max(model.weights_bytes, model.load_peak_bytes) <= room:
                yield _State(ran, resident | bit, fresh | bit, loaded | bit), self.seconds(state, index)
            elif resident & ~fresh & bit:
                yield _State(ran, resident & ~bit, fresh, loaded), 0.0
