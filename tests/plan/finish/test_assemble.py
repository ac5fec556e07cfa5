"""The numbers the planner writes into its plans against the definition of the contract, on random valid plans."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.plan.finish.assemble import assemble
from pipelines.plan.model.instance import Instance
from pipelines.plan.model.moves import LoadMove, Move, RunMove, UnloadMove
from pipelines.schema.plan import Load, Plan, Run
from pipelines.schema.problem import Problem, Task
from tests.plan.problems import problems, walk


def moves_of(instance: Instance, plan: Plan) -> list[Move]:
    model = {name: index for index, name in enumerate(instance.model_ids)}
    task = {name: index for index, name in enumerate(instance.task_ids)}
    made: list[Move] = []
    for step in plan.steps:
        if isinstance(step, Run):
            made.append(RunMove(tuple(task[name] for name in step.tasks)))
        elif isinstance(step, Load):
            made.append(LoadMove(model[step.model], None if step.during is None else task[step.during]))
        else:
            made.append(UnloadMove(model[step.model]))
    return made


@settings(max_examples=200, deadline=None)
@given(problems(), st.integers(0, 2**32))
def test_every_number_is_as_defined(problem: Problem, seed: int) -> None:
    right = walk(problem, seed)
    instance = Instance.of(problem)
    made = assemble(instance, moves_of(instance, right), 0.0, method="")
    assert made.steps == right.steps
    assert made.stages == right.stages
    assert made.peak_bytes == right.peak_bytes
    assert (made.load_seconds, made.makespan_seconds) == pytest.approx((right.load_seconds, right.makespan_seconds))


def test_a_stage_without_bytes_has_a_peak_of_none() -> None:
    instance = Instance.of(Problem.of([], [Task("t")], None))
    assert assemble(instance, [RunMove((0,))], 0.0, method="by hand").stages[0].peak_bytes == 0
