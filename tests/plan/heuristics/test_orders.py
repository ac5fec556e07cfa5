"""Evaluators, low peaks and local search against brute force."""

import random
from functools import cache
from itertools import combinations, permutations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipelines.plan.heuristics import loading, written
from pipelines.plan.heuristics.fitting import beam_order
from pipelines.plan.heuristics.jobs import Jobs, contract, keeps_outputs, plain, topological
from pipelines.plan.heuristics.local_search import improve
from pipelines.plan.heuristics.lowpeak import low_peak_order, profile
from pipelines.plan.heuristics.macro import improve_sets
from pipelines.plan.heuristics.uniform import Uniform
from pipelines.plan.heuristics.weighted import Weighted
from pipelines.plan.instance import Instance
from pipelines.schema.problem import Model, Problem, Task
from tests.plan.heuristics.replay import planted, random_problem, replay

SEEDS = st.integers(0, 10**6)


def least_reloads(jobs: Jobs, order: list[int]) -> float:
    """Reload seconds of the best unloading for `order` of jobs that keep nothing, by trying every resident set."""
    instance = jobs.instance

    @cache
    def best(place: int, resident: frozenset[int], loaded: frozenset[int]) -> float:
        if place == len(order):
            return 0.0
        needed = frozenset(jobs.lists[order[place]])
        cost = sum(instance.reload_cost[m] for m in needed - resident if m in loaded)
        room = jobs.room - jobs.space[order[place]] - sum(instance.weights[m] for m in needed)
        others = sorted(resident - needed)
        choices = (keep for size in range(len(others) + 1) for keep in combinations(others, size))
        fitting = (keep for keep in choices if sum(instance.weights[m] for m in keep) <= room)
        return cost + min(best(place + 1, needed | set(keep), loaded | needed) for keep in fitting)

    return best(0, frozenset(), frozenset())


def uniform_problem(seed: int, tasks: int) -> Problem:
    draw = random.Random(seed)
    models = [Model(f"m{index}", 3, 2.0, 2.0, 3) for index in range(6)]
    rows = [sorted(draw.sample(range(6), draw.randint(1, 3))) for _ in range(tasks)]
    todo = [Task(f"t{i}", tuple(f"m{m}" for m in row), draw.randint(0, 2)) for i, row in enumerate(rows)]
    return Problem.of(models, todo, 3 * draw.randint(3, 5) + 2)


@settings(max_examples=80, deadline=None)
@given(SEEDS, st.integers(1, 8))
def test_uniform_costs_are_the_least_for_the_order(seed: int, tasks: int) -> None:
    jobs = plain(Instance.of(uniform_problem(seed, tasks)))
    assert Uniform.suits(jobs)
    evaluator = Uniform(jobs)
    order = list(range(tasks))
    evaluator.accept(order, 0)
    assert evaluator.accepted() == least_reloads(jobs, order)
    start = seed % tasks
    trial = order[:start] + order[start:][::-1]
    assert evaluator.cost(trial, start, tasks)[0] == least_reloads(jobs, trial)


@settings(max_examples=80, deadline=None)
@given(SEEDS, st.integers(2, 8))
def test_a_weighted_trial_costs_what_some_policy_pays(seed: int, tasks: int) -> None:
    jobs = plain(Instance.of(planted(random_problem(seed, tasks, 4, outputs=False, edge=0.0), seed)))
    evaluator = Weighted(jobs)
    order = list(range(tasks))
    evaluator.accept(order, 0)
    assert evaluator.accepted() >= least_reloads(jobs, order) - 1e-9
    start = seed % (tasks - 1)
    trial = [*order[:start], order[start + 1], order[start], *order[start + 2 :]]
    assert evaluator.cost(trial, start, start + 2)[0] >= least_reloads(jobs, trial) - 1e-9


@settings(max_examples=80, deadline=None)
@given(SEEDS, st.integers(1, 7), st.sampled_from([0.2, 0.5]))
def test_small_components_get_the_lowest_peak(seed: int, tasks: int, edge: float) -> None:
    draw = random.Random(seed)
    before = [tuple(p for p in range(job) if draw.random() < edge) for job in range(tasks)]
    need, keep = [draw.randint(0, 9) for _ in before], [draw.randint(0, 9) for _ in before]
    need = [n + k for n, k in zip(need, keep, strict=True)]
    orders = (o for o in permutations(range(tasks)) if all(o.index(p) < o.index(j) for j in o for p in before[j]))
    lowest = min(max(profile(order, before, need, keep)) for order in orders)
    found = low_peak_order(before, need, keep, 0, 10_000)
    assert sorted(found) == list(range(tasks))
    assert max(profile(found, before, need, keep)) == lowest


def test_an_unload_that_room_did_not_ask_for_is_undone() -> None:
    models = [Model(name, size, 1.0, 1.0, size) for name, size in (("a", 2), ("b", 2), ("c", 6))]
    rows = (("a",), ("b",), ("c",), ("a",), ("b",))
    problem = Problem.of(models, [Task(f"t{i}", row) for i, row in enumerate(rows)], 8)
    jobs = plain(Instance.of(problem))
    blocks = loading.blocks_of(jobs, range(5))
    uses = loading.decide(blocks, [0.0, 0.0, 0.0])
    assert uses is not None
    uses.kept = [[False], [False], []]
    loading.retain(blocks, uses)
    assert loading.reloads(blocks, uses) == 1.0
    assert replay(problem, loading.moves(blocks, uses)) == (8, 4.0)


def test_a_high_moment_of_loading_comes_before_the_rest() -> None:
    # b needs 9 bytes while it loads, so a, 4, has to go and come again though both fit together.
    models = [Model("a", 4, 1.0, 1.0, 4), Model("b", 5, 1.0, 1.0, 9)]
    problem = Problem.of(models, [Task("1", ("a",)), Task("2", ("a", "b"), after=("1",))], 9)
    made = written(plain(Instance.of(problem)), [0, 1])
    assert made is not None
    assert replay(problem, made[1]) == (9, 3.0)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(2, 12), st.sampled_from([0.0, 0.2]))
def test_local_search_keeps_precedence_and_never_gets_worse(seed: int, tasks: int, edge: float) -> None:
    problem = planted(random_problem(seed, tasks, 4, outputs=False, edge=edge), seed)
    jobs = contract(Instance.of(problem))
    assume(len(jobs) > 1)
    order = topological(jobs.preds, jobs.succs)
    before = Weighted(jobs)
    before.accept(order, 0)
    for found, cost, _ in (
        improve(jobs, order, Weighted(jobs), 500, random.Random(seed)),
        improve_sets(jobs, order, 500, random.Random(seed)),
    ):
        assert sorted(found) == list(range(len(jobs)))
        assert all(found.index(pred) < found.index(job) for job in found for pred in jobs.preds[job])
        again = Weighted(jobs)
        again.accept(found, 0)
        assert cost <= before.accepted() + 1e-9


def test_contraction_makes_a_job_of_each_stage() -> None:
    models = [Model(name, 1, 1.0, 1.0, 1) for name in ("a", "b")]
    tasks = [
        Task(f"{song}/{stage}", (stage,), after=(f"{song}/a",) if stage == "b" else ())
        for song in range(9)
        for stage in ("a", "b")
    ]
    instance = Instance.of(Problem.of(models, tasks, 1))
    assert not keeps_outputs(instance)
    jobs = contract(instance)
    assert [len(members) for members in jobs.members] == [9, 9]
    assert jobs.preds == ((), (0,))


@pytest.mark.parametrize("seed", range(3))
def test_uniform_local_search_finds_the_best_order_of_few_tasks(seed: int) -> None:
    jobs = plain(Instance.of(uniform_problem(seed, 6)))
    best = min(least_reloads(jobs, list(order)) for order in permutations(range(6)))
    _, cost, _ = improve(jobs, list(range(6)), Uniform(jobs), 6_000, random.Random(seed))
    assert cost == best


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 30))
def test_a_beam_order_fits_the_room_it_was_given(seed: int, jobs: int) -> None:
    draw = random.Random(seed)
    before = [
        tuple(sorted({draw.randrange(job) for _ in range(draw.randint(0, 2))})) if job else () for job in range(jobs)
    ]
    after: list[list[int]] = [[] for _ in before]
    for job, behind in enumerate(before):
        for pred in behind:
            after[pred].append(job)
    keep = [draw.randint(0, 9) if after[job] else 0 for job in range(jobs)]
    need = [size + draw.randint(0, 9) for size in keep]
    room = max(profile(range(jobs), before, need, keep)) - draw.randint(0, 4)
    order = beam_order(before, after, need, keep, room, 0.5, 5_000)
    if order is not None:
        assert sorted(order) == list(range(jobs))
        assert all(order.index(pred) < order.index(job) for job in order for pred in before[job])
        assert max(profile(order, before, need, keep)) <= room


def test_a_beam_finds_what_greedy_misses() -> None:
    # The second job leaves least behind, but once it has run there is no room for the first.
    before = [(), (), (0, 1), (2,)]
    after = [[2], [2], [3], []]
    need, keep = [9, 3, 3, 1], [5, 1, 1, 0]
    assert beam_order(before, after, need, keep, 9, 0.5, 1_000) == [0, 1, 2, 3]
    assert beam_order(before, after, need, keep, 8, 0.5, 1_000) is None
