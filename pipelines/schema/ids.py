"""Task ids: which node does what for which item, as fields and as the text that problems, plans and records hold.

The text of a task is `item/node`. Nodes of one item that hand their sound on while it is made are one task, a fused one:
`item/first+second`. An item's name may hold any sign; a node's name holds neither `/` nor `+`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_SLASH, _PLUS = "/", "+"


@dataclass(frozen=True, slots=True)
class TaskId:
    """One task: its item, and its node, or in their order the nodes of a fused task.

    >>> TaskId.parse("song/speak+convert")
    TaskId(item='song', nodes=('speak', 'convert'))
    """

    item: str
    nodes: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> TaskId:
        """The id that `text` spells. A text without a slash, as a bare problem may have it, is a node of no item."""
        item, _, nodes = text.rpartition(_SLASH)
        return cls(item, tuple(nodes.split(_PLUS)))

    def __str__(self) -> str:
        return task_id(self.item, *self.nodes)

    @property
    def node(self) -> str:
        """The node's name; of a fused task, the names of its nodes joined by `+`."""
        return _PLUS.join(self.nodes)


def task_id(item: str, *nodes: str) -> str:
    """The text of a task's id, made without the object in between: a problem may have a hundred thousand of them.

    >>> task_id("song", "speak"), task_id("song", "speak", "convert")
    ('song/speak', 'song/speak+convert')
    """
    node = _PLUS.join(nodes)
    return f"{item}{_SLASH}{node}" if item else node


def fused_id(tasks: Sequence[str]) -> str:
    """The id of one item's `tasks` done as one task.

    >>> fused_id(["song/speak", "song/convert"])
    'song/speak+convert'
    """
    return task_id(TaskId.parse(tasks[0]).item, *(node for task in tasks for node in TaskId.parse(task).nodes))


def parts(task: str) -> tuple[str, ...]:
    """The tasks that a fused task is made of, in their order; the task itself where it is not fused.

    >>> parts("song/speak+convert"), parts("a+b/speak")
    (('song/speak', 'song/convert'), ('a+b/speak',))
    """
    if _PLUS not in task:
        return (task,)
    whole = TaskId.parse(task)
    return tuple(task_id(whole.item, node) for node in whole.nodes)
