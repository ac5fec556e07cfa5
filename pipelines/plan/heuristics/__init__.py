"""Good plans for problems too large to solve: orders built, improved and written out within a budget of expansions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.plan.assemble import Assembler, Move
from pipelines.plan.heuristics import loading
from pipelines.plan.heuristics.affinity import Taste, schedule
from pipelines.plan.heuristics.guard import components, feasible
from pipelines.plan.heuristics.jobs import Jobs, contract, in_waves, keeps_outputs, plain
from pipelines.plan.heuristics.waves import waves
from pipelines.plan.instance import Instance

DEFAULT_EXPANSIONS = 100_000


@dataclass(frozen=True, slots=True)
class Found:
    """The moves of a plan that fits, and the expansions spent: one is one job placed in one trial order."""

    moves: list[Move]
    expansions: int


def search(instance: Instance, expansions: int = DEFAULT_EXPANSIONS) -> Found | None:
    """The best plan found within `expansions`; None where none was found, which proves nothing."""
    jobs = plain(instance)
    best: tuple[float, list[Move]] | None = None
    spent = 0
    for trial, tastes in _trials(jobs):
        parts = components(trial, effort=20_000)
        if not feasible(parts, trial.room):
            continue
        for taste in tastes:
            order = schedule(trial, parts, taste)
            spent += len(trial)
            made = written(jobs, trial.tasks(order))
            if made is not None and (best is None or made[0] < best[0]):
                best = made
    return Found(best[1], spent) if best is not None and fits(instance, best[1]) else None


def _trials(jobs: Jobs) -> Iterator[tuple[Jobs, tuple[Taste, ...]]]:
    """Ways of putting tasks together, each with the tastes to schedule it by."""
    if not keeps_outputs(jobs.instance):
        yield contract(jobs.instance), (Taste(), Taste(closing=False), Taste(oldest=True))
        return
    parts = components(jobs, effort=20_000)
    for share in SHARES:
        yield in_waves(jobs.instance, waves(jobs, parts, share)), (Taste(), Taste(closing=False))
    yield jobs, (Taste(open_limit=16),)


SHARES = (1.0, 0.7, 0.4, 0.2)


def written(jobs: Jobs, order: list[int]) -> tuple[float, list[Move]] | None:
    """The cheapest way found to load for `order` of plain jobs: (load seconds, moves)."""
    blocks = loading.blocks_of(jobs, order)
    best: tuple[float, list[Move]] | None = None
    for rule in range(3):
        uses = loading.decide(blocks, loading.ratios(jobs.instance, rule))
        if uses is None:
            return None
        loading.retain(blocks, uses)
        made = loading.moves(blocks, uses)
        seconds = loading.load_seconds(jobs.instance, made)
        if best is None or seconds < best[0]:
            best = (seconds, made)
    return best


def fits(instance: Instance, made: list[Move]) -> bool:
    """Whether replaying the moves stays under the limit."""
    paper = Assembler(instance)
    for move in made:
        paper.move(move)
    return instance.problem.limit_bytes is None or paper.peak <= instance.problem.limit_bytes
