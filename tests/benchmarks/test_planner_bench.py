"""The planner's benchmark: problems are the same everywhere, baselines are honest plans, public instances read rightly."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from benchmarks.planner import ssp
from benchmarks.planner.__main__ import exponent, table
from benchmarks.planner.baselines import baselines, belady, carried_out, cost_size, depth_first, fifo, lru, waves
from benchmarks.planner.generators import SETS, Case, cases, identical, merged, planted, small
from benchmarks.planner.rows import alarm, row
from pipelines.plan.check import check
from pipelines.plan.finish.assemble import assemble
from pipelines.plan.model.instance import Instance
from pipelines.plan.model.moves import RunMove
from pipelines.plan.planner import plan
from pipelines.schema.problem import Model, Problem, Task
from tests.plan.oracle import least_load_seconds

FEW = ["small", "small, outputs", "planted 60", "merged 200"]


@pytest.mark.parametrize("name", FEW)
def test_a_seed_gives_the_same_problem_and_another_seed_another(name: str) -> None:
    first, again = cases(name, quick=True), cases(name, quick=True)
    assert [case.problem.to_json() for case in first] == [case.problem.to_json() for case in again]
    assert len({case.problem.to_json() for case in first}) == len(first)
    assert {case.seed % 2 for case in first} == {0}
    assert {case.seed % 2 for case in cases(name, quick=True, odd=True)} == {1}


def test_sizes_are_what_the_sets_say() -> None:
    assert 200 <= len(merged(0, tasks=200).tasks) < 210
    assert len(identical(0).tasks) == 400
    assert {len(small(seed, tasks=15).tasks) for seed in range(4)} == {15}
    assert len(SETS) >= 10


@pytest.mark.parametrize("make", [planted, lambda seed: small(seed, outputs=True)])
@pytest.mark.parametrize("seed", [1, 3, 5, 7])
def test_planted_problems_have_outputs_on_the_device_and_a_plan(make: object, seed: int) -> None:
    problem = make(seed)  # type: ignore[operator]
    assert any(task.output_bytes for task in problem.tasks)
    assert check(problem, plan(problem)).ok


@pytest.mark.parametrize("name", FEW)
def test_every_baseline_is_a_plan_under_the_checker(name: str) -> None:
    for case in cases(name, quick=True, odd=True)[:2]:
        instance = Instance.of(case.problem)
        for which, made in baselines(instance).items():
            if made is not None:
                written = assemble(instance, made[1], 0.0, method=which)
                assert check(case.problem, written).ok, (which, check(case.problem, written).sentence)
                assert written.load_seconds == pytest.approx(made[0])


def test_no_baseline_is_below_brute_force() -> None:
    for seed in (1, 3, 5):
        problem = small(seed, tasks=6)
        best = least_load_seconds(problem)
        assert best is not None
        assert all(made is None or made[0] >= best - 1e-9 for made in baselines(Instance.of(problem)).values())


def test_orders_are_what_they_are_called() -> None:
    chain = [
        Task(f"{item}{stage}", (f"m{stage}",), after=(f"{item}{stage - 1}",) if stage else ())
        for item in "ab"
        for stage in range(2)
    ]
    instance = Instance.of(Problem.of([Model("m0", 1, 1.0, 1.0, 1), Model("m1", 1, 1.0, 1.0, 1)], chain, 1))
    named = [
        [instance.task_ids[t] for t in order] for order in (fifo(instance), depth_first(instance), waves(instance)[-1])
    ]
    assert named == [["a0", "a1", "b0", "b1"], ["a0", "a1", "b0", "b1"], ["a0", "b0", "a1", "b1"]]


def test_rules_evict_what_they_say() -> None:
    """Room for two of three; then c comes: a was used longest ago, b is used last in future, a is dear to bring back."""
    models = [Model("a", 2, 9.0, 9.0, 2), Model("b", 2, 1.0, 1.0, 2), Model("c", 2, 1.0, 1.0, 2)]
    todo = [Task(f"t{i}", (name,)) for i, name in enumerate("abcba")]
    instance = Instance.of(Problem.of(models, todo, 4))
    seconds = {rule.__name__: carried_out(instance, range(5), rule)[0] for rule in (lru, belady, cost_size)}  # type: ignore[index]
    assert seconds == {"lru": 9 + 1 + 1 + 9, "belady": 9 + 1 + 1 + 9, "cost_size": 9 + 1 + 1 + 1}


def test_an_order_without_room_is_no_plan() -> None:
    todo = [Task("a", output_bytes=5), Task("b", output_bytes=5), Task("a2", after=("a",)), Task("b2", after=("b",))]
    instance = Instance.of(Problem.of([], todo, 5))
    assert carried_out(instance, [0, 1, 2, 3], cost_size) is None
    made = carried_out(instance, [0, 2, 1, 3], cost_size)
    assert made is not None
    assert made[1] == [RunMove((0,)), RunMove((2,)), RunMove((1,)), RunMove((3,))]


def test_a_public_instance_by_hand(tmp_path) -> None:
    """Three jobs, four tools, two slots: jobs {0,1}, {2,3}, {0,2}. Fewest loads: 0 1 | 2 for 0,2 | 3 = 4, order 1 3 2."""
    (tmp_path / "mine.txt").write_text("3\n4\n2\n1 0 1\n1 0 0\n0 1 1\n0 1 0\n")
    (tmp_path / "best.csv").write_text(
        "file,jobs,tools,capacity,best,hgs_seconds\nmine.txt,3,4,2,2,0.1\nopen.txt,3,4,2,,\n"
    )
    problem = ssp.read(tmp_path / "mine.txt")
    assert [task.models for task in problem.tasks] == [("tool0", "tool1"), ("tool2", "tool3"), ("tool0", "tool2")]
    assert problem.limit_bytes == 2
    assert ssp.best_known(tmp_path) == {"mine.txt": 4.0}
    assert least_load_seconds(problem) == 4.0
    (tmp_path / "short.txt").write_text("3\n4\n2\n1 0 1\n")
    with pytest.raises(ValueError, match=r"short\.txt says 4 rows of 3"):
        ssp.read(tmp_path / "short.txt")


@pytest.mark.slow
def test_cpsat_agrees_with_brute_force() -> None:
    pytest.importorskip("ortools")
    from benchmarks.planner.oracle_cpsat import solve

    for problem in (small(1, tasks=5), small(3, tasks=5, outputs=True)):
        answer = solve(problem, 20.0)
        assert answer.proved
        assert answer.cost == pytest.approx(least_load_seconds(problem), abs=1e-3)


def test_rows_and_table() -> None:
    made = row(Case("small", 1, small(1, tasks=6)))
    assert made.cost is not None
    assert made.compulsory <= made.cost
    assert made.flat()["baseline: waves"] == made.baselines["waves"]
    assert "| small | 1/1 (baselines 1) |" in table([made])
    grown = [replace(made, set="merged", tasks=10**k, plan_seconds=0.001 * 10**k) for k in (3, 4)]
    assert exponent(grown) == pytest.approx(1.0)


def test_a_hang_is_a_row_and_not_the_end() -> None:
    with pytest.raises(TimeoutError, match="after 1 s"), alarm(1):
        time.sleep(30)
