"""What an earlier run left in a run folder, and what of it still holds."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.graph.build import Graph
from pipelines.run.artifacts import Artifacts, read_note
from pipelines.run.job import Job
from pipelines.run.tasks import about
from pipelines.schema.errors import InvalidError
from pipelines.schema.ids import TaskId, parts, task_id
from pipelines.schema.problem import Problem


def finished(job: Job, artifacts: Artifacts) -> set[str]:
    """Tasks whose results lie in the run folder already, made of the same inputs by the same variant and settings.

    What comes after a task that must be done again is done again, too.
    """
    done, known = set[str](), set(tasks_of(job.problem))
    for item in job.items:
        for node in job.graph.order:
            task = task_id(item, node)
            waits = {task_id(item, name) for name in job.graph.predecessors(node)}
            if task in known and waits <= done and _is_done(job, artifacts, task):
                done.add(task)
    return done


def _is_done(job: Job, artifacts: Artifacts, task: str) -> bool:
    try:
        at = TaskId.parse(task)
        names = artifacts.consulted(at.item, at.node)
        return artifacts.is_done(at.item, at.node, about(job, artifacts, task, names))
    except (OSError, KeyError, InvalidError):  # of the task before it, that a part of the pipeline leaves out
        return False


def tasks_of(problem: Problem) -> list[str]:
    """Every task, those of a chain one by one."""
    return [name for task in problem.tasks for name in parts(task.id)]


def need_earlier(graph: Graph, items: Sequence[str], artifacts: Artifacts) -> None:
    """Refuse a part of a pipeline whose earlier results are not there. Raises `InvalidError` saying whose."""
    for name in graph.order:
        for source in graph.node(name).inputs.values():
            producer = source.partition(".")[0]
            if producer == "item" or producer in graph.order:
                continue
            for item in items:
                try:
                    read_note(artifacts.folder(item, producer))
                except OSError:
                    raise InvalidError(
                        f"{name} needs what {producer} makes of {item}, and it is not in {artifacts.root}. "
                        "Name the run that has it with --resume RUN_DIR, or run that part too with --until."
                    ) from None
