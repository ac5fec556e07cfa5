"""Small problems for the planner's tests: a strategy, a brute force over single moves, and a bare replay."""

from __future__ import annotations

import heapq

from hypothesis import strategies as st

from pipelines.plan.model.instance import Instance
from pipelines.plan.model.needs import single_task_needs
from pipelines.schema.plan import Load, Plan, Unload
from pipelines.schema.problem import Model, Problem, Task

SECONDS = st.sampled_from([0.0, 0.5, 1.0, 2.0])


@st.composite
def problems(draw, tasks=5, models=3, **more):
    """Problems whose limit is near the largest single task's need, where order matters."""
    found = []
    for index in range(draw(st.integers(1, models))):
        weights = draw(st.integers(1, 5))
        above = draw(st.sampled_from([0, 0, 3, 6]))
        shared = draw(st.booleans())
        found.append(Model(f"m{index}", weights, draw(SECONDS), draw(SECONDS), weights + above, shared))
    names = [model.id for model in found]
    made = []
    for index in range(draw(st.integers(0, tasks))):
        after = draw(st.sets(st.integers(0, index - 1), max_size=2)) if index else set()
        made.append(
            Task(
                f"t{index}",
                tuple(sorted(draw(st.sets(st.sampled_from(names), max_size=2)))),
                draw(st.integers(0, 2)),
                draw(SECONDS),
                draw(st.sampled_from([0, 0, 1, 3])),
                tuple(f"t{before}" for before in sorted(after)),
            )
        )
    context = draw(st.integers(0, 1))
    need = max(single_task_needs(Instance.of(Problem.of(found, made, None, context_bytes=context))), default=context)
    limit = max(0, need + draw(st.integers(-1, 4)))
    return Problem.of(found, made, limit, context_bytes=context, **{key: draw(value) for key, value in more.items()})


def cheapest(problem: Problem) -> float | None:
    """Least load seconds by Dijkstra over every single load, unload and run; None where no plan exists."""
    if problem.context_bytes > problem.limit_bytes:
        return None
    start = (frozenset(), frozenset(), frozenset(), frozenset())
    best, heap, serial = {start: 0.0}, [(0.0, 0, start)], 0
    while heap:
        paid, _, state = heapq.heappop(heap)
        if paid > best[state]:
            continue
        if len(state[0]) == len(problem.tasks):
            return paid
        for seconds, after in _moves(problem, *state):
            if paid + seconds < best.get(after, float("inf")):
                best[after] = paid + seconds
                serial += 1
                heapq.heappush(heap, (paid + seconds, serial, after))
    return None


def _moves(problem, done, resident, ever, unused):
    held = bytes_held(problem, done, resident)
    for name, model in problem.models.items():
        if name in resident:
            if name not in unused:
                yield 0.0, (done, resident - {name}, ever, unused)
        elif held + model.load_peak_bytes <= problem.limit_bytes:
            seconds = model.reload_seconds if name in ever else model.load_seconds
            yield seconds, (done, resident | {name}, ever | {name}, unused | {name})
    for task in problem.tasks:
        free = task.id not in done and done.issuperset(task.after) and resident.issuperset(task.models)
        if free and held + task.workspace_bytes + task.output_bytes <= problem.limit_bytes:
            yield 0.0, (done | {task.id}, resident, ever, unused - set(task.models))


def bytes_held(problem, done, resident) -> int:
    """Context, weights and live outputs between two steps."""
    total = problem.context_bytes + sum(problem.models[name].weights_bytes for name in resident)
    for task in problem.tasks:
        readers = [other.id for other in problem.tasks if task.id in other.after]
        if task.id in done and readers and not done.issuperset(readers):
            total += task.output_bytes
    return total


def replay(problem: Problem, plan: Plan) -> tuple[float, float, int]:  # noqa: PLR0915  # one rule after the other
    """Load seconds, makespan and peak of `plan`, worked out from DESIGN's words alone. Asserts that each step is allowed."""
    resident: set[str] = set()
    unused: set[str] = set()
    ever: set[str] = set()
    done: set[str] = set()
    extra: dict[str, int] = {}
    ready: dict[str, float] = {}
    beside: list[tuple[str, float, str]] = []
    tasks = {task.id: task for task in problem.tasks}
    lane = plain = end = loads = 0.0
    peak = problem.context_bytes
    for step in plan.steps:
        if isinstance(step, Load):
            model = problem.models[step.model]
            assert step.model not in resident
            seconds = model.reload_seconds if step.model in ever else model.load_seconds
            loads += seconds
            held = bytes_held(problem, done, resident)
            for group in (resident, unused, ever):
                group.add(step.model)
            if step.during is None:
                assert not beside
                extra = {}
                lane = plain = ready[step.model] = max(lane, end) + seconds
                peak = max(peak, held + model.load_peak_bytes)
            else:
                extra[step.model] = model.load_peak_bytes - model.weights_bytes
                beside.append((step.model, seconds, step.during))
                peak = max(peak, held + model.weights_bytes + max(extra.values()))
        elif isinstance(step, Unload):
            assert step.model in resident - unused
            resident.remove(step.model)
        else:
            running = [tasks[name] for name in step.tasks]
            used = [name for task in running for name in task.models]
            assert len(running) <= problem.streams
            assert all(problem.models[name].shareable for name in used if used.count(name) > 1)
            assert done.isdisjoint(step.tasks)
            assert all(done.issuperset(task.after) for task in running)
            assert resident.issuperset(used)
            assert all(during in step.tasks and name not in used for name, _, during in beside)
            extra = {name: above for name, above in extra.items() if name not in used}
            moment = bytes_held(problem, done, resident) + max(extra.values(), default=0)
            moment += sum(task.workspace_bytes + task.output_bytes for task in running)
            peak = max(peak, moment)
            assert step.peak_bytes == moment
            begin = max([end, plain, *(ready[name] for name in used)])
            for name, seconds, _ in beside:
                lane = ready[name] = max(lane, begin) + seconds
            beside = []
            end = begin + max(task.seconds for task in running)
            done.update(step.tasks)
            unused -= set(used)
            continue
        assert step.resident_bytes == bytes_held(problem, done, resident)
    assert done == set(tasks)
    assert problem.limit_bytes is None or peak <= problem.limit_bytes
    return loads, end, peak
