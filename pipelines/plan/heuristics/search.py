"""Good plans for problems too large to solve exactly, within a budget of expansions. Proves nothing.

1. group      tasks are grouped: contracted, or components side by side in waves         `task_groups`, `waves`
2. construct  orders by affinity scheduling under several policies, and the usual ones   `affinity`, `orders`
3. improve    local search from the order with the least estimated reload seconds        `local_search`, `set_search`
4. write out  loads and unloads of the cheapest orders; the cheapest that fits is taken  `loading`, `eviction`
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from pipelines.plan.finish.assemble import Assembler
from pipelines.plan.heuristics import loading, orders
from pipelines.plan.heuristics.affinity import SchedulingPolicy, schedule
from pipelines.plan.heuristics.dead_ends import Components, components, feasible
from pipelines.plan.heuristics.eviction import RULES, eviction_weights
from pipelines.plan.heuristics.local_search import improve
from pipelines.plan.heuristics.set_search import applies, improve_sets
from pipelines.plan.heuristics.task_groups import TaskGroups, contract, in_waves, keeps_outputs, plain
from pipelines.plan.heuristics.uniform import UniformEvaluator
from pipelines.plan.heuristics.waves import waves
from pipelines.plan.heuristics.weighted import WeightedEvaluator
from pipelines.plan.model.instance import Instance
from pipelines.plan.model.moves import Move, load_seconds

DEFAULT_EXPANSIONS = 200_000
SHARES = (1.0, 0.7, 0.5, 0.3, 0.15)
POLICIES = (
    SchedulingPolicy(),
    SchedulingPolicy(closing=False),
    SchedulingPolicy(oldest=True),
    SchedulingPolicy(open_limit=1),
    SchedulingPolicy(open_limit=4),
    SchedulingPolicy(open_limit=16),
)
EFFORT = 20_000  # states for the lowest peak of one hard component: having a plan at all comes first
WAVE_POLICIES = (
    SchedulingPolicy(open_limit=1),
    SchedulingPolicy(closing=False, open_limit=64),
    SchedulingPolicy(open_limit=8),
)
SCHEDULING = 8  # a group placed by list scheduling and written out costs about as much as this many in local search
CHEAP = 4  # trials of uniform models for the price of one
WORTH_IMPROVING = 12  # trial orders local search should be able to afford
SETS = 2  # blocks placed for the price of one group
WRITTEN = 2  # trials written out in full
RESTARTS = 6  # of the greedy


_Grouping = tuple[TaskGroups, Components, tuple[SchedulingPolicy, ...]]


@dataclass(frozen=True, slots=True)
class Found:
    """The moves of a plan that fits, and the expansions spent: one is one group placed in one trial order."""

    moves: list[Move]
    expansions: int


@dataclass(frozen=True, slots=True)
class _Trial:
    """An order of groups and its estimated reload seconds."""

    cost: float
    groups: TaskGroups
    order: list[int]


def search(instance: Instance, expansions: int = DEFAULT_EXPANSIONS) -> Found | None:
    """The best plan found within `expansions`; None where none was found, which proves nothing."""
    groups = plain(instance)
    parts = components(groups, effort=EFFORT)
    if not feasible(parts, groups.room):
        return None
    spent = SCHEDULING * len(groups)
    trials: list[_Trial] = []
    for grouped, grouped_parts, policies in _groupings(groups, parts):
        for policy in policies:
            if trials and spent + SCHEDULING * len(grouped) > expansions // 2:
                break
            trials.append(_costed(grouped, schedule(grouped, grouped_parts, policy)))
            spent += SCHEDULING * len(grouped)
    draw = Random(instance.problem.seed)  # noqa: S311 - reproducible, not secret
    if keeps_outputs(instance):
        trials += _baseline_trials(groups, parts, draw, expansions)
    trials.sort(key=lambda trial: trial.cost)
    left = max(expansions - spent, expansions // 3)  # however many tasks there are, few groups may be left of them
    start = trials[0]
    if start.cost < math.inf and left >= WORTH_IMPROVING * len(start.groups):
        order, cost, used = _improved(start, left, draw)
        spent += used
        trials.append(_Trial(cost, start.groups, order))
    trials.sort(key=lambda trial: trial.cost)
    made = _cheapest(groups, trials, WRITTEN if SCHEDULING * len(groups) <= expansions else 1)
    return None if made is None else Found(made, spent)


def _baseline_trials(groups: TaskGroups, parts: Components, draw: Random, expansions: int) -> Iterator[_Trial]:
    """The orders everybody tries, and restarts of the greedy as far as a quarter of the budget goes."""
    for order in orders.simple(groups, parts):
        yield _costed(groups, order)
    restarts = min(RESTARTS, expansions // (4 * SCHEDULING * max(1, len(groups))))
    for number in range(restarts):
        found = orders.greedy(groups, draw if number else None)
        if found is not None:
            yield _costed(groups, found)


def _groupings(groups: TaskGroups, parts: Components) -> Iterator[_Grouping]:
    """Ways of putting tasks together, each with its components and the policies to schedule it by."""
    if not keeps_outputs(groups.instance):
        grouped = contract(groups.instance)
        yield grouped, components(grouped, effort=0), POLICIES[:3]
        return
    sizes: set[int] = set()
    for share in SHARES:
        grouped = in_waves(groups.instance, waves(groups, parts, share))
        grouped_parts = components(grouped, effort=0)
        if len(grouped) not in sizes and len(grouped) < len(groups) and feasible(grouped_parts, grouped.room):
            sizes.add(len(grouped))
            yield grouped, grouped_parts, WAVE_POLICIES
    yield groups, parts, POLICIES[4:] if sizes else POLICIES


def _costed(groups: TaskGroups, order: list[int]) -> _Trial:
    estimate = WeightedEvaluator(groups)
    estimate.accept(order, 0)
    return _Trial(estimate.accepted(), groups, order)


def _improved(trial: _Trial, budget: int, draw: Random) -> tuple[list[int], float, int]:
    """(order, reload seconds, expansions) by the local search that fits the groups."""
    groups = trial.groups
    if UniformEvaluator.applies(groups):
        order, cost, used = improve(groups, trial.order, UniformEvaluator(groups), CHEAP * budget, draw)
        return order, cost, used // CHEAP
    if applies(groups):
        order, cost, used = improve_sets(groups, trial.order, SETS * budget, draw)
        return order, cost, used // SETS
    return improve(groups, trial.order, WeightedEvaluator(groups), budget, draw)


def _cheapest(groups: TaskGroups, trials: list[_Trial], most: int) -> list[Move] | None:
    """The cheapest of the first `most` trials that hold once written out task by task."""
    found: list[tuple[float, list[Move]]] = []
    for trial in trials:
        made = written(groups, trial.groups.tasks(trial.order))
        if made is not None and fits(groups.instance, made[1]):
            found.append(made)
        if len(found) == most:
            break
    return min(found, key=lambda one: one[0], default=(0.0, None))[1]


def written(groups: TaskGroups, order: list[int]) -> tuple[float, list[Move]] | None:
    """The cheapest way found to load for `order` of plain groups: (load seconds, moves)."""
    blocks = loading.blocks_of(groups, order)
    tried = [loading.choose_evictions(blocks, eviction_weights(groups.instance, rule)) for rule in range(RULES)]
    fitting = [spans for spans in tried if spans is not None]
    if not fitting:
        return None
    best = min(fitting, key=lambda spans: spans.reload_seconds(groups.instance))
    loading.undo_evictions(blocks, best)
    moves = loading.to_moves(blocks, best)
    return load_seconds(groups.instance, moves), moves


def fits(instance: Instance, made: list[Move]) -> bool:
    """Whether replaying the moves stays under the limit."""
    simulation = Assembler(instance)
    for move in made:
        simulation.move(move)
    return instance.problem.limit_bytes is None or simulation.peak <= instance.problem.limit_bytes
