"""Tasks of a chain as one task: all of its models at once, the sum of its workspaces. Bytes and seconds only.

A fused task is called `item/first+second+third`; `members` gives the tasks it is made of. Nothing else of a problem changes, and
where no task keeps an output on the device, a plan of the fused problem exists exactly where every fused task fits by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from pipelines.graph.chains import Chain
from pipelines.schema.problem import Problem, Task

#: Between the nodes of a fused task; no node's name can hold it.
_AND = "+"


def members(task: str) -> tuple[str, ...]:
    """The tasks that `task` is made of, in their order; itself where it is made of no others.

    >>> members("song/speak+convert"), members("a+b/speak")
    (('song/speak', 'song/convert'), ('a+b/speak',))
    """
    item, slash, nodes = task.rpartition("/")
    return tuple(f"{item}{slash}{node}" for node in nodes.split(_AND))


def together(tasks: Sequence[str]) -> str:
    """The name of one item's `tasks` as one task.

    >>> together(["song/speak", "song/convert"])
    'song/speak+convert'
    """
    item, slash, _ = tasks[0].rpartition("/")
    return f"{item}{slash}{_AND.join(task.rpartition('/')[2] for task in tasks)}"


def fuse(problem: Problem, chains: Sequence[Chain], may: Callable[[Problem, Task], bool]) -> tuple[Problem, list[Task]]:
    """The problem with each item's chains as one task, where `may` says so; and the fused tasks it did not allow.

    `may` is asked with a problem of the fused task alone. A chain of which an item has only some tasks left stays as it is.
    """
    known = {task.id: task for task in problem.tasks}
    if any(task.output_bytes for task in problem.tasks):
        return problem, []
    fused: dict[str, Task] = {}
    refused: list[Task] = []
    for item in _items(known):
        for chain in chains:
            parts = [known[name] for node in chain if (name := f"{item}/{node}") in known]
            if len(parts) < len(chain):
                continue
            task = _as_one(parts)
            if may(alone(problem, task), task):
                fused |= {part.id: task for part in parts}
            else:
                refused.append(task)
    return _with(problem, fused), refused


def _items(names: Iterable[str]) -> list[str]:
    return [item for item, _ in groupby(name.rpartition("/")[0] for name in names)]


def _as_one(parts: Sequence[Task]) -> Task:
    own = {part.id for part in parts}
    return Task(
        id=together([part.id for part in parts]),
        models=tuple(sorted({model for part in parts for model in part.models})),
        workspace_bytes=sum(part.workspace_bytes for part in parts),
        seconds=sum(part.seconds for part in parts),
        after=tuple(sorted({name for part in parts for name in part.after} - own)),
    )


def alone(problem: Problem, task: Task) -> Problem:
    """The problem of `task` and nothing else."""
    models = {name: problem.models[name] for name in task.models}
    return replace(problem, models=models, tasks=(replace(task, after=()),))


def _with(problem: Problem, fused: dict[str, Task]) -> Problem:
    """Each fused task stands where its first part stood; whoever waited for a part waits for all."""
    tasks: dict[str, Task] = {}
    for task in problem.tasks:
        whole = fused.get(task.id, task)
        after = {fused[name].id if name in fused else name for name in whole.after}
        tasks.setdefault(whole.id, replace(whole, after=tuple(sorted(after))))
    return replace(problem, tasks=tuple(tasks.values()))
