"""Makes the tasks of a chain one task of the problem: all of its models at once, the sum of its workspaces. Bytes and seconds only.

A fused task is called `item/first+second+third` (`schema.ids`). Nothing else of a problem changes. Where no task keeps an output
on the device, the fused problem has a plan exactly where the problem has one and every fused task fits by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from pipelines.graph.chains import Chain
from pipelines.schema.ids import TaskId, fused_id, task_id
from pipelines.schema.problem import Problem, Task


def fuse(
    problem: Problem, chains: Sequence[Chain], allowed: Callable[[Problem, Task], bool]
) -> tuple[Problem, list[Task]]:
    """The problem with each item's chains as one task where `allowed`; and the fused tasks that are not allowed.

    allowed: is given the problem of the fused task alone, and the task. A chain of which an item has only some tasks left
    stays as it is, and so does every chain of a problem whose tasks keep outputs on the device.
    """
    known = {task.id: task for task in problem.tasks}
    if not chains or any(task.output_bytes for task in problem.tasks):
        return problem, []
    fused: dict[str, Task] = {}
    refused: list[Task] = []
    for item in dict.fromkeys(TaskId.parse(name).item for name in known):
        for chain in chains:
            tasks = [known[name] for node in chain if (name := task_id(item, node)) in known]
            if len(tasks) < len(chain):
                continue
            whole = _as_one(tasks)
            if allowed(single_task_problem(problem, whole), whole):
                fused |= {task.id: whole for task in tasks}
            else:
                refused.append(whole)
    return _with(problem, fused), refused


def _as_one(tasks: Sequence[Task]) -> Task:
    own = {task.id for task in tasks}
    return Task(
        id=fused_id([task.id for task in tasks]),
        models=tuple(sorted({model for task in tasks for model in task.models})),
        workspace_bytes=sum(task.workspace_bytes for task in tasks),
        seconds=sum(task.seconds for task in tasks),
        after=tuple(sorted({name for task in tasks for name in task.after} - own)),
    )


def single_task_problem(problem: Problem, task: Task) -> Problem:
    """The problem of `task` and nothing else."""
    models = {name: problem.models[name] for name in task.models}
    return replace(problem, models=models, tasks=(replace(task, after=()),))


def _with(problem: Problem, fused: dict[str, Task]) -> Problem:
    """Each fused task stands where its first part stood; whatever waited for a part waits for the whole."""
    tasks: dict[str, Task] = {}
    for task in problem.tasks:
        whole = fused.get(task.id, task)
        after = {fused[name].id if name in fused else name for name in whole.after}
        tasks.setdefault(whole.id, replace(whole, after=tuple(sorted(after))))
    return replace(problem, tasks=tuple(tasks.values()))
