"""Task groups: tasks that may as well run back to back, put together so that the search has fewer things to order.

Two ways of putting together, and the plain one:

- `contract`: where no output stays on the device, all tasks with the same model set behind the same groups become ready
  together, and once their models are resident running all of them costs nothing more: they are one group, and a group
  whose models its only predecessor already needs joins it. Ten thousand tasks of a dozen pipelines become a few dozen groups.
- `in_waves`: where outputs stay, equal components (the same song pipeline, say) go through their tasks side by side, so
  many at a time: a group is one step of one wave. The size of a wave trades memory against loads.
- `plain`: every task is a group.

An order of groups is only a shape: bytes and loads are always worked out anew on its tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipelines.plan.model.instance import Instance

UNLIMITED = 1 << 80


@dataclass(frozen=True, slots=True)
class TaskGroups:
    """What the search orders; index by group, models as in the instance.

    space: bytes beyond weights and other groups' kept outputs while the group runs. keep: bytes it leaves until its last
    successor has run (0 where it has none). tasks_of: its tasks in the order they run.
    """

    instance: Instance
    room: int
    tasks_of: tuple[tuple[int, ...], ...]
    masks: tuple[int, ...]
    lists: tuple[tuple[int, ...], ...]
    space: tuple[int, ...]
    keep: tuple[int, ...]
    preds: tuple[tuple[int, ...], ...]
    succs: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.masks)

    def tasks(self, order: Iterable[int]) -> list[int]:
        """The tasks of an order of groups."""
        return [task for group in order for task in self.tasks_of[group]]


def keeps_outputs(instance: Instance) -> bool:
    """Whether any output outlives its task."""
    return any(size and after for size, after in zip(instance.output, instance.succs, strict=True))


def _room(instance: Instance) -> int:
    return UNLIMITED if instance.room is None else instance.room


def plain(instance: Instance) -> TaskGroups:
    """Every task a group."""
    keep = (size if after else 0 for size, after in zip(instance.output, instance.succs, strict=True))
    return TaskGroups(
        instance=instance,
        room=_room(instance),
        tasks_of=tuple((task,) for task in range(len(instance.task_ids))),
        masks=instance.needs,
        lists=instance.need_lists,
        space=tuple(work + out for work, out in zip(instance.workspace, instance.output, strict=True)),
        keep=tuple(keep),
        preds=instance.preds,
        succs=instance.succs,
    )


def contract(instance: Instance) -> TaskGroups:
    """Tasks alike in models and predecessors as one group. Only where `keeps_outputs` is false. O(n + edges)."""
    number: dict[tuple[int, frozenset[int]], int] = {}
    group_of = [0] * len(instance.task_ids)
    tasks_of: list[list[int]] = []
    before: list[frozenset[int]] = []
    for task in instance.topological:
        mask, behind = instance.needs[task], frozenset(group_of[pred] for pred in instance.preds[task])
        alike = (pred for pred in sorted(behind) if instance.needs[tasks_of[pred][0]] == mask)
        host = next((pred for pred in alike if behind - {pred} <= before[pred]), None)
        group = number.setdefault((mask, behind), len(tasks_of)) if host is None else host
        if group == len(tasks_of):
            tasks_of.append([])
            before.append(behind)
        tasks_of[group].append(task)
        group_of[task] = group
    return _grouped(instance, tasks_of, before, fine_space=False)


def in_waves(instance: Instance, waves: Sequence[Sequence[Sequence[int]]]) -> TaskGroups:
    """Waves of equal components: `waves[w][c]` lists the tasks of component c of wave w, alike position by position."""
    tasks_of: list[list[int]] = []
    group_of = [0] * len(instance.task_ids)
    for wave in waves:
        for position in range(len(wave[0])):
            for component in wave:
                group_of[component[position]] = len(tasks_of)
            tasks_of.append([component[position] for component in wave])
    before = [frozenset(group_of[pred] for task in tasks for pred in instance.preds[task]) for tasks in tasks_of]
    return _grouped(instance, tasks_of, before, fine_space=True)


def _grouped(
    instance: Instance, tasks_of: list[list[int]], before: list[frozenset[int]], *, fine_space: bool
) -> TaskGroups:
    succs: list[list[int]] = [[] for _ in tasks_of]
    for group, behind in enumerate(before):
        for pred in sorted(behind):
            succs[pred].append(group)
    first = [tasks[0] for tasks in tasks_of]
    return TaskGroups(
        instance=instance,
        room=_room(instance),
        tasks_of=tuple(map(tuple, tasks_of)),
        masks=tuple(instance.needs[task] for task in first),
        lists=tuple(instance.need_lists[task] for task in first),
        space=tuple(_space(instance, tasks, adding=fine_space) for tasks in tasks_of),
        keep=tuple(sum(instance.output[task] for task in tasks if instance.succs[task]) for tasks in tasks_of),
        preds=tuple(tuple(sorted(behind)) for behind in before),
        succs=tuple(map(tuple, succs)),
    )


def _space(instance: Instance, tasks: Sequence[int], *, adding: bool) -> int:
    """Highest moment of tasks run one after the other; with `adding`, outputs that stay pile up."""
    highest = held = 0
    for task in tasks:
        highest = max(highest, held + instance.workspace[task] + instance.output[task])
        if adding and instance.succs[task]:
            held += instance.output[task]
    return highest
