"""What memory is worth: plans under a few other limits, chosen from where this plan reloads and where it peaks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from pipelines.plan.model.needs import least_bytes
from pipelines.schema.errors import DoesNotFit
from pipelines.schema.ids import parts
from pipelines.schema.plan import Load, Plan, Run
from pipelines.schema.problem import Problem
from pipelines.schema.units import MIB

Replan = Callable[[Problem], Plan]


@dataclass(frozen=True, slots=True)
class Price:
    """A plan under another limit. `seconds` is its cost minus this plan's (in the objective); `loads` and `streams` (tasks
    whose nodes hand their sound on) likewise."""

    limit_bytes: int
    change_bytes: int
    loads: int
    seconds: float
    plan: Plan
    streams: int = 0


@dataclass(frozen=True, slots=True)
class Prices:
    """Limits above this one, each better than those below it, and limits below. `smallest_bytes`: the lowest limit found
    to work; `smallest_proved` where none below it can."""

    more: tuple[Price, ...]
    less: tuple[Price, ...]
    smallest_bytes: int
    smallest_proved: bool


def prices(
    problem: Problem, plan: Plan, bytes_at: Sequence[int], replan: Replan, most_plans: int, least: int | None = None
) -> Prices:
    """Prices around `plan`, within `most_plans` calls of `replan`. bytes_at: the highest bytes of each step.

    least: bytes that nothing `replan` makes can do without, where under other limits it may plan another problem.
    """
    trials = _Trials(problem, plan, replan, most_plans)
    floor, proved = _smallest(least_bytes(problem) if least is None else least, plan, trials)
    more = [] if problem.limit_bytes is None else _better(trials, useful_limits(problem, plan, bytes_at))
    heights = sorted({height for height in bytes_at if floor < height < plan.peak_bytes})
    less = [trials.at(limit) for limit in (floor, *_spread(heights, 2))] if floor < plan.peak_bytes else []
    found = sorted((price for price in less if price is not None), key=lambda price: price.limit_bytes)
    return Prices(tuple(more), tuple(found), floor, proved)


class _Trials:
    """Plans under other limits, each made once, until the number allowed is spent."""

    def __init__(self, problem: Problem, plan: Plan, replan: Replan, most: int) -> None:
        self.problem, self.plan, self.replan, self.left = problem, plan, replan, most
        self.base = plan.peak_bytes if problem.limit_bytes is None else problem.limit_bytes
        self.known: dict[int, Price | None] = {}

    def at(self, limit: int) -> Price | None:
        """The price of `limit`; None where no plan was found, or no trial is left."""
        if limit not in self.known and self.left > 0:
            self.left -= 1
            self.known[limit] = self._try(limit)
        return self.known.get(limit)

    def _try(self, limit: int) -> Price | None:
        try:
            made = self.replan(with_limit(self.problem, limit))
        except DoesNotFit:
            return None
        loads = count_loads(made) - count_loads(self.plan)
        streams = count_streams(made) - count_streams(self.plan)
        return Price(limit, limit - self.base, loads, made.cost - self.plan.cost, made, streams)


def with_limit(problem: Problem, limit: int | None) -> Problem:
    """The same problem under another limit."""
    return replace(problem, limit_bytes=limit)


def count_loads(plan: Plan) -> int:
    """How many loads a plan makes."""
    return sum(isinstance(step, Load) for step in plan.steps)


def count_streams(plan: Plan) -> int:
    """How many tasks a plan runs as one with others of their item."""
    return sum(len(parts(task)) > 1 for step in plan.steps if isinstance(step, Run) for task in step.tasks)


def _smallest(low: int, plan: Plan, trials: _Trials) -> tuple[int, bool]:
    """The lowest limit found to work, by bisection from `low`, which no plan can do without; whether that is proved."""
    high = plan.peak_bytes
    if low >= high or trials.at(low) is not None:
        return min(low, high), True
    for _ in range(min(5, trials.left // 2)):
        middle = (low + high) // 2
        if high - low <= MIB:
            break
        if trials.at(middle) is None:
            low = middle
        else:
            high = middle
    return high, False


def useful_limits(problem: Problem, plan: Plan, bytes_at: Sequence[int]) -> list[int]:
    """Limits under which this very order would reload less: one for each model that is unloaded and brought back, and
    the one that keeps them all."""
    limit = problem.limit_bytes
    assert limit is not None
    gaps = _gaps(plan)
    extra = [0] * (len(plan.steps) + 1)
    found = set()
    for model, start, stop in gaps:
        weights = problem.models[model].weights_bytes
        found.add(max(bytes_at[start:stop], default=0) + weights)
        extra[start] += weights
        extra[stop] -= weights
    added, everything = 0, 0
    for height, change in zip(bytes_at, extra, strict=False):
        added += change
        everything = max(everything, height + added)
    return [
        *_spread(sorted(height for height in found if height > limit), 4),
        *([everything] if everything > limit else []),
    ]


def _gaps(plan: Plan) -> Iterable[tuple[str, int, int]]:
    """(model, first step, step after the last) of every time a model is away and comes back."""
    left: dict[str, int] = {}
    for index, step in enumerate(plan.steps):
        if isinstance(step, Run):
            continue
        if isinstance(step, Load):
            if step.model in left:
                yield step.model, left.pop(step.model), index
        else:
            left[step.model] = index + 1


def _better(trials: _Trials, limits: Sequence[int]) -> list[Price]:
    """The prices of rising `limits` that cost less than every one before."""
    made: list[Price] = []
    least = 0.0
    for limit in sorted(set(limits)):
        price = trials.at(limit)
        if price is not None and price.seconds < least - 1e-9:
            made.append(price)
            least = price.seconds
    return made


def _spread(values: Sequence[int], count: int) -> list[int]:
    """At most `count` of sorted values, ends included."""
    if len(values) <= count:
        return list(values)
    return [values[round(i * (len(values) - 1) / (count - 1))] for i in range(count)]
