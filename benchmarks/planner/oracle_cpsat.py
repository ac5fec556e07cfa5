"""OR-tools CP-SAT as an offline oracle for least load seconds: a position model, with a time limit of its own.

One Boolean for each (task, position), (model, position) and (output, position); one memory row a position. Only for
problems whose models load within their weights, so that the runs are the highest moments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipelines.plan.model.instance import Instance
from pipelines.schema.problem import Problem

TICKS = 10_000  # a second in the integer objective: loads are given to the tenth of a millisecond


@dataclass(frozen=True, slots=True)
class Answer:
    """`cost` of the best plan found (None: none), `bound` below every plan, both in seconds; `proved` where it says so."""

    cost: float | None
    bound: float
    proved: bool
    seconds: float


def solve(problem: Problem, seconds: float) -> Answer:
    """CP-SAT's answer within `seconds`, on one thread."""
    from ortools.sat.python import cp_model

    it = Instance.of(problem)
    if any(peak > weights for peak, weights in zip(it.load_peak, it.weights, strict=True)):
        raise ValueError("The position model holds only for models that load within their weights.")
    model = cp_model.CpModel()
    runs = _order(model, it)
    _memory(model, it, runs)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = seconds
    solver.parameters.num_workers = 1
    status = solver.solve(model)
    found = status in (cp_model.OPTIMAL, cp_model.FEASIBLE)
    cost = solver.objective_value / TICKS if found else None
    return Answer(cost, solver.best_objective_bound / TICKS, status == cp_model.OPTIMAL, solver.wall_time)


def _order(model: Any, it: Instance) -> list[list[Any]]:
    """`runs[task][k]`: the task runs at position k. Every task once, one a position, predecessors first."""
    count = len(it.task_ids)
    runs = [[model.new_bool_var(f"x{task},{k}") for k in range(count)] for task in range(count)]
    for row in (*runs, *zip(*runs, strict=True)):
        model.add_exactly_one(row)
    place = [sum(k * runs[task][k] for k in range(count)) for task in range(count)]
    for task, before in enumerate(it.preds):
        for pred in before:
            model.add(place[pred] + 1 <= place[task])
    return runs


def _memory(model: Any, it: Instance, runs: list[list[Any]]) -> None:
    """Residency and live outputs at every position, the limit, and the loads they cost."""
    span = range(len(it.task_ids))
    resident = [[model.new_bool_var(f"r{m},{k}") for k in span] for m in range(len(it.model_ids))]
    cost: list[Any] = []
    for m, row in enumerate(resident):
        users = [task for task in span if it.needs[task] >> m & 1]
        first = it.load_cost[m] - it.reload_cost[m] if users else 0.0
        cost.append(round(first * TICKS))
        for k in span:
            loads = model.new_bool_var(f"l{m},{k}")
            model.add(loads >= row[k] - (row[k - 1] if k else 0))
            cost.append(round(it.reload_cost[m] * TICKS) * loads)
            for task in users:
                model.add_implication(runs[task][k], row[k])
    model.minimize(sum(cost))
    if it.room is None:
        return
    for k in span:
        weights = sum(it.weights[m] * resident[m][k] for m in range(len(it.model_ids)))
        working = sum((it.workspace[t] + it.output[t] * (not it.succs[t])) * runs[t][k] for t in span)
        live = sum(it.output[t] * _live(model, it, runs, t, k) for t in span if it.output[t] and it.succs[t])
        model.add(weights + working + live <= it.room)


def _live(model: Any, it: Instance, runs: list[list[Any]], task: int, k: int) -> Any:
    """At least 1 where the task has started by position k and a successor has not ended before it."""
    held = model.new_bool_var(f"o{task},{k}")
    started = sum(runs[task][: k + 1])
    for after in it.succs[task]:
        model.add(held >= started - sum(runs[after][:k]))
    return held
