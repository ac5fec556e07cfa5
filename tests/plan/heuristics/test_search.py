"""The heuristics as a whole: every plan replays under the limit, planted problems are always planned, same moves always."""

import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.plan.heuristics.search import search
from pipelines.plan.model.instance import Instance
from pipelines.schema.problem import Model, Problem, Task
from tests.plan.heuristics.replay import planted, random_problem, replay

BUDGET = 2_000


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 14), st.integers(1, 5), st.booleans(), st.sampled_from([0.0, 0.1, 0.4]))
def test_planted_problems_are_planned_within_the_limit(
    seed: int, tasks: int, models: int, outputs: bool, edge: float
) -> None:
    problem = planted(random_problem(seed, tasks, models, outputs=outputs, edge=edge), seed + 1)
    found = search(Instance.of(problem), BUDGET)
    assert found is not None
    assert problem.limit_bytes is not None
    assert replay(problem, found.moves)[0] <= problem.limit_bytes


def test_unlimited_room_costs_each_model_once() -> None:
    problem = random_problem(3, 30, 5)
    found = search(Instance.of(problem), BUDGET)
    assert found is not None
    used = {name for task in problem.tasks for name in task.models}
    assert replay(problem, found.moves)[1] == sum(problem.models[name].load_seconds for name in used)


def test_a_task_too_big_for_the_limit_is_not_planned() -> None:
    problem = Problem.of([Model("m", 10, 1.0, 1.0, 10)], [Task("t", ("m",), 5)], 14)
    assert search(Instance.of(problem), BUDGET) is None


def test_identical_songs_go_stage_by_stage() -> None:
    models = [Model(name, 10, 2.0, 2.0, 10) for name in ("a", "b", "c")]
    tasks = [
        Task(f"{song}/{stage}", (stage,), 1, 1.0, 0, (f"{song}/{before}",) if before else ())
        for song in range(50)
        for before, stage in ((None, "a"), ("a", "b"), ("b", "c"))
    ]
    problem = Problem.of(models, tasks, 11)
    found = search(Instance.of(problem), BUDGET)
    assert found is not None
    assert replay(problem, found.moves) == (11, 6.0)


def test_outputs_that_stay_make_waves_of_what_fits() -> None:
    # Each a leaves 4 bytes for its b; with 10 for a model and 1 to work, 23 bytes hold three songs at a time.
    models = [Model(name, 10, 1.0, 1.0, 10) for name in ("a", "b")]
    tasks = [
        task
        for song in range(12)
        for task in (Task(f"{song}/a", ("a",), 1, 1.0, 4), Task(f"{song}/b", ("b",), 1, 1.0, 0, (f"{song}/a",)))
    ]
    problem = Problem.of(models, tasks, 23)
    found = search(Instance.of(problem), BUDGET)
    assert found is not None
    peak, seconds = replay(problem, found.moves)
    assert peak <= 23
    assert seconds == 8.0  # four waves of three, each needs both models again


@pytest.mark.slow
def test_the_same_moves_whatever_the_hash_seed() -> None:
    code = (
        "from tests.plan.heuristics.replay import *; from pipelines.plan.heuristics.search import search\n"
        "for s in range(6): print(search(Instance.of(planted(random_problem(s, 14, 4), s)), 3000))"
    )
    message = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "77")
    }
    assert len(message) == 1
