"""Which model goes when room is short, and the order of moves that follows from it."""

from pipelines.plan.heuristics.eviction import NEVER, eviction_weights, victim
from pipelines.plan.heuristics.loading import blocks_of, choose_evictions, undo_evictions
from pipelines.plan.heuristics.search import written
from pipelines.plan.heuristics.task_groups import plain
from pipelines.plan.model.instance import Instance
from pipelines.plan.model.moves import LoadMove, UnloadMove, load_seconds
from pipelines.schema.problem import Model, Problem, Task


def test_a_model_never_used_again_goes_first_then_the_highest_weighed_distance() -> None:
    assert victim({0: 9, 1: NEVER, 2: NEVER}, 0b000, 7, (9.0, 1.0, 1.0)) == 1
    assert victim({0: 9, 1: 10}, 0b00, 7, (4.0, 1.0)) == 0
    assert victim({0: 8, 1: 10}, 0b00, 7, (2.0, 1.0)) == 1


def test_needed_models_stay_and_of_equals_the_first_goes() -> None:
    assert victim({1: 9, 0: 9}, 0b00, 7, (1.0, 1.0)) == 1
    assert victim({0: NEVER, 1: 8}, 0b01, 7, (1.0, 1.0)) == 1
    assert victim({0: 8}, 0b1, 7, (1.0,)) == -1


def test_the_rules_weigh_by_bytes_and_reload_by_reload_and_not_at_all() -> None:
    instance = Instance.of(Problem.of([Model("a", 6, 1.0, 2.0, 6), Model("b", 6, 1.0, 0.5, 6)], [], 10))
    assert [eviction_weights(instance, rule) for rule in range(3)] == [(3.0, 12.0), (0.5, 2.0), (1.0, 1.0)]


def test_a_model_with_room_stays_and_a_needless_unload_is_undone() -> None:
    models = [Model("a", 4, 2.0, 1.0, 4), Model("b", 5, 2.0, 1.0, 5), Model("c", 4, 2.0, 1.0, 4)]
    tasks = [Task("1", ("a",)), Task("2", ("b",)), Task("3", ("c",)), Task("4", ("a", "b"))]
    instance = Instance.of(Problem.of(models, tasks, 10))
    made = written(plain(instance), [0, 2, 1, 3])
    assert made is not None
    assert made[0] == load_seconds(instance, made[1]) == 6.0
    assert [move.model for move in made[1] if isinstance(move, LoadMove)] == [0, 2, 1]
    assert [move.model for move in made[1] if isinstance(move, UnloadMove)] == [2]


def _blocks(models: list[Model], sets: list[tuple[str, ...]], limit: int):
    problem = Problem.of(models, [Task(str(n), names) for n, names in enumerate(sets)], limit)
    return blocks_of(plain(Instance.of(problem)), range(len(sets)))


def test_a_gap_with_just_enough_room_is_closed() -> None:
    blocks = _blocks([Model("a", 4, 1.0, 1.0, 4), Model("b", 5, 1.0, 1.0, 5)], [("a",), ("b",), ("a",)], 9)
    residency = choose_evictions(blocks, (1.0, 1.0))
    assert residency is not None
    assert residency.stays == [[True], []]
    residency.stays[0][0] = False
    undo_evictions(blocks, residency)
    assert residency.stays == [[True], []]


def test_a_needed_model_is_loaded_again_where_that_alone_lets_a_high_load_peak_pass() -> None:
    blocks = _blocks([Model("a", 4, 1.0, 1.0, 4), Model("b", 4, 1.0, 1.0, 8)], [("a",), ("a", "b")], 8)
    residency = choose_evictions(blocks, (1.0, 1.0))
    assert residency is not None
    assert residency.stays == [[False], []]
