"""Good plans for problems too large to solve: orders built, improved and written out within a budget of expansions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from pipelines.plan.assemble import Assembler, Move
from pipelines.plan.heuristics import loading
from pipelines.plan.heuristics.affinity import Taste, schedule
from pipelines.plan.heuristics.evaluate import Uniform, Weighted
from pipelines.plan.heuristics.guard import Components, components, feasible
from pipelines.plan.heuristics.jobs import Jobs, contract, in_waves, keeps_outputs, plain
from pipelines.plan.heuristics.local_search import Evaluator, improve
from pipelines.plan.heuristics.waves import waves
from pipelines.plan.instance import Instance

DEFAULT_EXPANSIONS = 250_000
SHARES = (1.0, 0.7, 0.5, 0.3, 0.15)
TASTES = (
    Taste(),
    Taste(closing=False),
    Taste(oldest=True),
    Taste(open_limit=1),
    Taste(open_limit=4),
    Taste(open_limit=16),
)
EFFORT = 20_000  # sets of done jobs that the lowest peak of one hard component may cost: a plan at all comes first
SCHEDULING = 4  # a job placed by list scheduling, and by writing out, costs about as much as this many in local search
WORTH_IMPROVING = 12  # trial orders local search should be able to afford


@dataclass(frozen=True, slots=True)
class Found:
    """The moves of a plan that fits, and the expansions spent: one is one job placed in one trial order."""

    moves: list[Move]
    expansions: int


@dataclass(frozen=True, slots=True)
class _Trial:
    """An order of jobs and its estimated reload seconds."""

    cost: float
    jobs: Jobs
    order: list[int]


def search(instance: Instance, expansions: int = DEFAULT_EXPANSIONS) -> Found | None:
    """The best plan found within `expansions`; None where none was found, which proves nothing."""
    jobs = plain(instance)
    parts = components(jobs, effort=EFFORT)
    if not feasible(parts, jobs.room):
        return None
    spent = SCHEDULING * len(jobs)
    trials: list[_Trial] = []
    for grouped, groups, tastes in _groupings(jobs, parts):
        for taste in tastes:
            if trials and spent + SCHEDULING * len(grouped) > expansions // 2:
                break
            trials.append(_scheduled(grouped, groups, taste))
            spent += (SCHEDULING + 1) * len(grouped)
    trials.sort(key=lambda trial: trial.cost)
    best = trials[0]
    draw = Random(instance.problem.seed)
    if expansions - spent >= WORTH_IMPROVING * len(best.jobs):
        order, cost, used = improve(best.jobs, best.order, _evaluator(best.jobs), expansions - spent, draw)
        spent += used
        trials.insert(0, _Trial(cost, best.jobs, order))
    made = _cheapest(jobs, trials[:2])
    return Found(made, spent) if made is not None and fits(instance, made) else None


def _groupings(jobs: Jobs, parts: Components) -> Iterator[tuple[Jobs, Components, tuple[Taste, ...]]]:
    """Ways of putting tasks together, each with its components and the tastes to schedule it by."""
    if not keeps_outputs(jobs.instance):
        grouped = contract(jobs.instance)
        yield grouped, components(grouped, effort=0), TASTES[:3]
        return
    sizes: set[int] = set()
    for share in SHARES:
        grouped = in_waves(jobs.instance, waves(jobs, parts, share))
        groups = components(grouped, effort=0)
        if len(grouped) not in sizes and len(grouped) < len(jobs) and feasible(groups, grouped.room):
            sizes.add(len(grouped))
            yield grouped, groups, TASTES[:2] + TASTES[3:5]
    yield jobs, parts, TASTES[4:] if sizes else TASTES


def _scheduled(jobs: Jobs, parts: Components, taste: Taste) -> _Trial:
    order = schedule(jobs, parts, taste)
    return _Trial(Weighted(jobs).cost(order, 0)[0], jobs, order)


def _evaluator(jobs: Jobs) -> Evaluator:
    return Uniform(jobs) if Uniform.suits(jobs) else Weighted(jobs)


def _cheapest(jobs: Jobs, trials: list[_Trial]) -> list[Move] | None:
    """The cheapest of the trials once written out task by task."""
    made = [written(jobs, trial.jobs.tasks(trial.order)) for trial in trials]
    return min((one for one in made if one is not None), key=lambda one: one[0], default=(0.0, None))[1]


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
