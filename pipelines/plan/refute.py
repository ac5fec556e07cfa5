"""Looks for a plan below a claimed lower bound, within a small effort: what it finds refutes the claim.

Part of the certificate, so it shares no code with the planner. It finding nothing proves nothing, except on problems
of a few tasks, which it searches whole: least cost first over single moves (load one model, unload one, run one task).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from pipelines.schema.problem import Problem, Task

#: States looked at before giving up: about a tenth of a second.
EFFORT = 4_000
#: Larger problems would be given up anyway.
MOST_TASKS = 64


@dataclass(frozen=True, slots=True)
class _State:
    """What has been done so far. `fresh` are resident models no run has used yet; `loaded` were loaded at some time."""

    ran: frozenset[str]
    resident: frozenset[str]
    fresh: frozenset[str]
    loaded: frozenset[str]


def cheaper_loads(problem: Problem, below: float, effort: int = EFFORT) -> float | None:
    """Load seconds of some plan that loads for less than `below` seconds, or None where none was found."""
    if len(problem.tasks) > MOST_TASKS:
        return None
    search = _Search(problem)
    start = _State(frozenset(), frozenset(), frozenset(), frozenset())
    open_states: list[tuple[float, int, int, float, _State]] = [(search.at_least(start, 0.0), 0, 0, 0.0, start)]
    best, pushed = {start: 0.0}, 0
    for _ in range(effort):
        if not open_states or open_states[0][0] >= below:
            return None
        _, _, _, spent, state = heapq.heappop(open_states)
        if len(state.ran) == len(problem.tasks):
            return spent
        for after, cost in search.moves(state):
            total = spent + cost
            floor = search.at_least(after, total)
            if floor < below and total < best.get(after, float("inf")):
                best[after] = total
                pushed += 1
                heapq.heappush(open_states, (floor, -len(after.ran), pushed, total, after))
    return None


@dataclass(frozen=True)
class _Search:
    problem: Problem

    @cached_property
    def followers(self) -> dict[str, list[str]]:
        after: dict[str, list[str]] = {task.id: [] for task in self.problem.tasks}
        for task in self.problem.tasks:
            for before in task.after:
                after[before].append(task.id)
        return after

    def at_least(self, state: _State, spent: float) -> float:
        """What `state` costs in the end at the very least: models still to be used that are away are loaded once more."""
        needed = {name for task in self.problem.tasks if task.id not in state.ran for name in task.models}
        return spent + math.fsum(self.load_seconds(state, name) for name in needed - state.resident)

    def load_seconds(self, state: _State, name: str) -> float:
        model = self.problem.models[name]
        return model.reload_seconds if name in state.loaded else model.load_seconds

    def moves(self, state: _State) -> Iterator[tuple[_State, float]]:
        """Every next state and what the move costs, of moves that keep the limit."""
        held = self.held(state)
        for task in self.problem.tasks:
            if self.may_run(state, task) and self.fits(held + task.output_bytes + task.workspace_bytes):
                yield self.after_run(state, task), 0.0
        for name, model in self.problem.models.items():
            if name not in state.resident and self.fits(held + max(model.weights_bytes, model.load_peak_bytes)):
                yield self.after_load(state, name), self.load_seconds(state, name)
        for name in sorted(state.resident - state.fresh):
            yield _State(state.ran, state.resident - {name}, state.fresh, state.loaded), 0.0

    def may_run(self, state: _State, task: Task) -> bool:
        ready = task.id not in state.ran and state.ran.issuperset(task.after)
        return ready and state.resident.issuperset(task.models)

    def held(self, state: _State) -> int:
        """Context, weights and live outputs."""
        weights = sum(self.problem.models[name].weights_bytes for name in state.resident)
        live = (
            task.output_bytes
            for task in self.problem.tasks
            if task.id in state.ran and any(name not in state.ran for name in self.followers[task.id])
        )
        return self.problem.context_bytes + weights + sum(live)

    def fits(self, count: int) -> bool:
        return self.problem.limit_bytes is None or count <= self.problem.limit_bytes

    def after_run(self, state: _State, task: Task) -> _State:
        return _State(state.ran | {task.id}, state.resident, state.fresh - set(task.models), state.loaded)

    def after_load(self, state: _State, name: str) -> _State:
        return _State(state.ran, state.resident | {name}, state.fresh | {name}, state.loaded | {name})
