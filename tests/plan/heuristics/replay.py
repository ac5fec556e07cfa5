"""An independent replay of moves, and random problems to replay them on."""

import random

from pipelines.plan.model.instance import Instance
from pipelines.plan.model.moves import LoadMove, Move, RunMove, UnloadMove
from pipelines.schema.problem import Model, Problem, Task


def replay(problem: Problem, moves: list[Move]) -> tuple[int, float]:
    """(peak bytes, load seconds) from the problem's own words; asserts every rule of a plan but the limit."""
    tasks, models = problem.tasks, list(problem.models.values())
    last_use = {name: {t.id for t in tasks if name in t.after} for name in (t.id for t in tasks)}
    resident: dict[str, bool] = {}
    live: dict[str, int] = {}
    done: set[str] = set()
    loaded: set[str] = set()
    peak, seconds = problem.context_bytes, 0.0

    def held() -> int:
        return problem.context_bytes + sum(problem.models[m].weights_bytes for m in resident) + sum(live.values())

    for move in moves:
        if isinstance(move, LoadMove):
            model = models[move.model]
            assert model.id not in resident
            peak = max(peak, held() + max(model.load_peak_bytes, model.weights_bytes))
            seconds += model.reload_seconds if model.id in loaded else model.load_seconds
            loaded.add(model.id)
            resident[model.id] = False
        elif isinstance(move, UnloadMove):
            assert resident.pop(models[move.model].id), "unloaded before any run used it"
        else:
            assert isinstance(move, RunMove)
            (task,) = (tasks[index] for index in move.tasks)
            assert task.id not in done
            assert set(task.after) <= done
            assert set(task.models) <= set(resident)
            resident.update(dict.fromkeys(task.models, True))
            peak = max(peak, held() + task.output_bytes + task.workspace_bytes)
            done.add(task.id)
            if last_use[task.id]:
                live[task.id] = task.output_bytes
            live = {name: size for name, size in live.items() if last_use[name] - done}
    assert len(done) == len(tasks)
    return peak, seconds


def random_problem(seed: int, tasks: int, models: int, *, outputs: bool = True, edge: float = 0.2) -> Problem:
    """A problem of small numbers, unlimited."""
    draw = random.Random(seed)
    made = []
    for index in range(models):
        weight, cost = draw.randint(1, 10), draw.randint(0, 9)
        made.append(
            Model(f"m{index}", weight, float(cost), float(draw.randint(0, cost)), weight + draw.choice([0, 0, 3]))
        )
    todo = [
        Task(
            f"t{index}",
            tuple(sorted(draw.sample([model.id for model in made], draw.randint(0, min(3, models))))),
            draw.randint(0, 5),
            1.0,
            draw.randint(0, 6) if outputs else 0,
            tuple(sorted(f"t{before}" for before in range(index) if draw.random() < edge)),
        )
        for index in range(tasks)
    ]
    return Problem.of(made, todo, None, context_bytes=draw.randint(0, 3))


def planted(problem: Problem, seed: int) -> Problem:
    """The problem with the peak of a random order of its tasks, nothing resident in between, as its limit."""
    draw = random.Random(seed)
    instance = Instance.of(problem)
    waiting = [len(before) for before in instance.preds]
    ready = [task for task, count in enumerate(waiting) if count == 0]
    moves: list[Move] = []
    while ready:
        task = ready.pop(draw.randrange(len(ready)))
        needed = sorted(instance.need_lists[task], key=lambda m: instance.weights[m] - instance.load_peak[m])
        moves += [*map(LoadMove, needed), RunMove((task,)), *map(UnloadMove, needed)]
        for after in instance.succs[task]:
            waiting[after] -= 1
            if waiting[after] == 0:
                ready.append(after)
    return with_limit(problem, replay(problem, moves)[0])


def with_limit(problem: Problem, limit: int) -> Problem:
    return Problem.of(
        problem.models.values(), problem.tasks, limit, context_bytes=problem.context_bytes, seed=problem.seed
    )
