"""One row of the table: a problem planned, checked, and the baselines beside it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import median

from benchmarks.planner.baselines import baselines
from benchmarks.planner.generators import Case
from pipelines.plan.bounds import compulsory
from pipelines.plan.check import check
from pipelines.plan.model.instance import Instance
from pipelines.plan.planner import plan
from pipelines.schema.errors import DoesNotFit

#: Wall seconds after which a problem counts as not planned.
MOST_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Row:
    """Costs are load seconds of a plan. plan_seconds: one core's time for making it, which a busy machine does not
    change; wall_seconds: by the clock. None: no plan found."""

    set: str
    name: str
    tasks: int
    models: int
    compulsory: float
    lower_bound: float | None
    cost: float | None
    proved: bool
    method: str
    refused: str
    plan_seconds: float
    wall_seconds: float
    check_seconds: float
    baselines: dict[str, float | None]
    best_known: float | None = None
    cpsat: dict[str, object] | None = None

    @property
    def best_baseline(self) -> float | None:
        return min((cost for cost in self.baselines.values() if cost is not None), default=None)

    @property
    def gap(self) -> float | None:
        """(cost - lower bound) / lower bound, or to the best known value where there is one."""
        floor = self.best_known if self.best_known is not None else self.lower_bound
        return None if self.cost is None or not floor else (self.cost - floor) / floor

    @property
    def share_of_baseline(self) -> float | None:
        """Non-compulsory load seconds over those of the best baseline; None where no baseline has any, or has a plan."""
        if self.cost is None or self.best_baseline is None or self.best_baseline - self.compulsory <= 1e-9:
            return None
        return (self.cost - self.compulsory) / (self.best_baseline - self.compulsory)

    def flat(self) -> dict[str, object]:
        """For CSV: baselines as columns, derived figures added."""
        record = asdict(self)
        record.pop("baselines"), record.pop("cpsat")
        record |= {"best_baseline": self.best_baseline, "gap": self.gap, "share_of_baseline": self.share_of_baseline}
        record |= {f"baseline: {name}": cost for name, cost in self.baselines.items()}
        return record


def row(case: Case, *, best_known: float | None = None, oracle_seconds: float = 0.0) -> Row:
    """Plan, time, check and compare. Raises `RuntimeError` where the checker refuses the plan: that is a bug."""
    problem, instance = case.problem, Instance.of(case.problem)
    started, clock = time.process_time(), time.perf_counter()
    try:
        with alarm(MOST_SECONDS):
            made, refused = plan(problem), ""
    except TimeoutError:
        made, refused = None, "too slow"
    except DoesNotFit as error:
        made, refused = None, "proved" if error.refusal.proved else "unknown"
    planned, wall = time.process_time(), time.perf_counter() - clock
    verdict = check(problem, made) if made is not None else None
    checked = time.process_time()
    if verdict is not None and not verdict.ok:
        raise RuntimeError(f"{case.name}: {verdict.sentence}")
    others = baselines(instance, case.seed)
    return Row(
        set=case.set,
        name=case.name,
        tasks=len(problem.tasks),
        models=len(problem.models),
        compulsory=compulsory.cost(instance),
        lower_bound=made.lower_bound if made else None,
        cost=made.load_seconds if made else None,
        proved=bool(made and made.proved_optimal),
        method=made.method if made else "",
        refused=refused,
        plan_seconds=planned - started,
        wall_seconds=wall,
        check_seconds=checked - planned,
        baselines={name: None if found is None else found[0] for name, found in others.items()},
        best_known=best_known,
        cpsat=_oracle(case, oracle_seconds) if oracle_seconds else None,
    )


@contextmanager
def alarm(seconds: int) -> Iterator[None]:
    """`TimeoutError` inside where it takes longer by the clock, so that one hang does not stop a benchmark. Main thread."""

    def ring(*_: object) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _oracle(case: Case, seconds: float) -> dict[str, object]:
    from benchmarks.planner.oracle_cpsat import solve

    return asdict(solve(case.problem, seconds))


def summary(rows: list[Row]) -> dict[str, object]:
    """The figures of one set."""
    gaps = [r.gap for r in rows if r.gap is not None]
    shares = [r.share_of_baseline for r in rows if r.share_of_baseline is not None]
    return {
        "problems": len(rows),
        "planned": sum(r.cost is not None for r in rows),
        "proved": sum(r.proved for r in rows),
        "compulsory_met": sum(r.cost is not None and r.cost - r.compulsory <= 1e-9 for r in rows),
        "baseline_planned": sum(r.best_baseline is not None for r in rows),
        "called_impossible": sum(r.refused == "proved" for r in rows),
        "lost_to_a_baseline": sum(_lost(r) for r in rows),
        "median_gap": median(gaps) if gaps else None,
        "mean_gap": sum(gaps) / len(gaps) if gaps else None,
        "median_share_of_baseline": median(shares) if shares else None,
        "median_seconds": median(r.plan_seconds for r in rows),
        "most_seconds": max(r.plan_seconds for r in rows),
    }


def _lost(r: Row) -> bool:
    return r.best_baseline is not None and (r.cost is None or r.cost > r.best_baseline + 1e-9)
