"""Hill climbing on the order of tasks: shortens the makespan without a worse value of what the objective ranks first.

A search for least load seconds does not see that loads can run beside tasks. Here each neighbour (one task moved to
another place) is written out in full, its runs joined and its loads prefetched, and compared by (load seconds, makespan)
or (makespan, load seconds). Only for problems small enough that hundreds of such trials are cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pipelines.plan.bounds import compulsory
from pipelines.plan.finish.assemble import Assembler
from pipelines.plan.heuristics.search import written
from pipelines.plan.heuristics.task_groups import plain
from pipelines.plan.model.instance import Instance
from pipelines.plan.model.moves import Move, RunMove

#: Moves times trials one polish may cost.
WORK = 12_000
#: Fewer trials than this are not worth beginning.
FEWEST = 20

Score = tuple[float, float]


def polish(
    instance: Instance, moves: Sequence[Move], finish: Callable[[Instance, Sequence[Move]], list[Move]], trials: int
) -> list[Move]:
    """`moves` finished, or a better order finished. `finish` joins runs and prefetches loads."""
    best = finish(instance, moves)
    if len(moves) * FEWEST > WORK:
        return best
    order = [task for move in moves if isinstance(move, RunMove) for task in move.tasks]
    trials = min(trials, WORK // max(1, len(moves)))
    if instance.problem.objective == "load":
        goal: Score = (compulsory.loads(instance), compulsory.makespan(instance))
    else:
        goal = (compulsory.makespan(instance), compulsory.loads(instance))
    score, groups = _score(instance, best), plain(instance)
    neighbours = _neighbours(instance, order)
    while trials > 0 and score > goal:
        trial = next(neighbours, None)
        if trial is None:
            break
        trials -= 1
        made = written(groups, trial)
        if made is None:
            continue
        finished = finish(instance, made[1])
        reached = _score(instance, finished)
        if reached < score:
            best, score = finished, reached
            neighbours = _neighbours(instance, trial)
    return best


def _score(instance: Instance, moves: Sequence[Move]) -> Score:
    """The objective's two quantities, without the last digits that depend on the order of adding."""
    simulation = Assembler(instance)
    for move in moves:
        simulation.move(move)
    limit = instance.problem.limit_bytes
    if limit is not None and simulation.peak > limit:
        return (float("inf"), float("inf"))
    loads, end = round(simulation.load_seconds, 9), round(simulation.clock.run_end, 9)
    return (loads, end) if instance.problem.objective == "load" else (end, loads)


def _neighbours(instance: Instance, order: Sequence[int]) -> Iterator[list[int]]:
    """Every order with one task moved between its predecessors and successors, the short ways first."""
    place = {task: index for index, task in enumerate(order)}
    first = [max((place[p] + 1 for p in instance.preds[task]), default=0) for task in order]
    last = [min((place[s] - 1 for s in instance.succs[task]), default=len(order) - 1) for task in order]
    for distance in range(1, len(order)):
        for index, task in enumerate(order):
            for target in (index - distance, index + distance):
                if first[index] <= target <= last[index]:
                    rest = [*order[:index], *order[index + 1 :]]
                    yield [*rest[:target], task, *rest[target:]]
