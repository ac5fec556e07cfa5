"""Which tasks of a run folder are finished already, so that a resumed run does only the others."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.graph.build import Graph
from pipelines.run.artifacts import Artifacts, read_note
from pipelines.run.fingerprint import fingerprint
from pipelines.run.job import Job
from pipelines.schema.errors import InvalidError
from pipelines.schema.ids import TaskId, parts, task_id
from pipelines.schema.problem import Problem


def finished_tasks(job: Job, artifacts: Artifacts) -> set[str]:
    """Tasks whose results lie in the run folder already, made from the same inputs by the same variant and settings.

    What comes after a task that must be done again must be done again, too.
    """
    done, known = set[str](), set(all_tasks(job.problem))
    for item in job.items:
        for node in job.graph.order:
            task, before = TaskId(item, (node,)), {task_id(item, name) for name in job.graph.predecessors(node)}
            if str(task) in known and before <= done and _is_done(job, artifacts, task):
                done.add(str(task))
    return done


def _is_done(job: Job, artifacts: Artifacts, task: TaskId) -> bool:
    try:
        names = artifacts.tracked_settings(task.item, task.node)
        return artifacts.is_done(task.item, task.node, fingerprint(job, artifacts, task, names))
    except (OSError, KeyError, InvalidError):  # of a task before it, which a part of the pipeline leaves out
        return False


def all_tasks(problem: Problem) -> list[str]:
    """The ids of every task, the parts of fused ones instead of the whole."""
    return [name for task in problem.tasks for name in parts(task.id)]


def check_earlier_results(graph: Graph, items: Sequence[str], artifacts: Artifacts) -> None:
    """Check that a part of a pipeline finds the results it starts from. Raises `InvalidError` naming what is missing."""
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
