"""Small random problems and random valid plans of them, for hypothesis."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import strategies as st

from pipelines.schema.plan import Load, Plan, Run, Step, Unload
from pipelines.schema.problem import Model, Problem, Task
from tests.plan.definition import filled

Maker = st.DrawFn


@st.composite
def problems(draw: Maker, tasks: int = 6, models: int = 3, limits: bool = True) -> Problem:
    """Up to `tasks` tasks and `models` models; small whole numbers, so that sums of seconds are exact."""
    few = st.integers(0, 5)
    made = []
    for index in range(draw(st.integers(1, models))):
        weights = draw(st.integers(0, 6))
        peak, share = weights + draw(st.sampled_from([0, 0, 2, 5])), draw(st.booleans())
        made.append(Model(f"m{index}", weights, float(draw(few)), float(draw(few)), peak, share))
    names = [model.id for model in made]
    todo = []
    for index in range(draw(st.integers(0, tasks))):
        needs = tuple(sorted(draw(st.sets(st.sampled_from(names), max_size=2))))
        before = draw(st.sets(st.integers(0, index - 1), max_size=2)) if index else set()
        after = tuple(sorted(f"t{number}" for number in before))
        todo.append(Task(f"t{index}", needs, draw(few), float(draw(few)), draw(few), after))
    limit = draw(st.none() | st.integers(0, 30)) if limits else None
    streams = draw(st.sampled_from([1, 1, 2, 3]))
    return Problem.of(made, todo, limit, context_bytes=draw(st.integers(0, 2)), streams=streams)


def walk(problem: Problem, seed: int) -> Plan:
    """A random valid plan, wasteful, with prefetches and runs together; its limit is not kept."""
    draw, steps = random.Random(seed), list[Step]()
    ran: set[str] = set()
    resident: dict[str, bool] = {}
    while len(ran) < len(problem.tasks):
        ready = [task for task in problem.tasks if task.id not in ran and ran.issuperset(task.after)]
        together = _together(problem, draw, ready)
        needed = {name for task in together for name in task.models}
        for name in [name for name, used in resident.items() if used and draw.random() < 0.4 and name not in needed]:
            steps.append(Unload(name, 0))
            del resident[name]
        for name in sorted(needed - set(resident)):
            steps.append(Load(name, 0))
            resident[name] = False
        for name in sorted(set(problem.models) - needed - set(resident)):
            if draw.random() < 0.3:
                steps.append(Load(name, 0, draw.choice(together).id))
                resident[name] = False
        steps.append(Run(tuple(task.id for task in together), 0))
        resident.update(dict.fromkeys(needed, True))
        ran.update(task.id for task in together)
    return filled(problem, steps)


def _together(problem: Problem, draw: random.Random, ready: list[Task]) -> list[Task]:
    chosen: list[Task] = []
    for task in draw.sample(ready, draw.randint(1, min(problem.streams, len(ready)))):
        taken = {name for other in chosen for name in other.models}
        if all(problem.models[name].shareable for name in taken.intersection(task.models)):
            chosen.append(task)
    return chosen


def tight(problem: Problem, plan: Plan) -> tuple[Problem, Plan]:
    """The problem with the plan's own peak as its limit, and the plan saying so."""
    return replace(problem, limit_bytes=plan.peak_bytes), replace(plan, limit_bytes=plan.peak_bytes)
