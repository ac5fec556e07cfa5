"""Brings a run through memory trouble: lets the ladder name a remedy, applies it, and goes on with what is not finished.

The engine raises `MemoryTrouble`; the ladder (a pure function) names the next rung; this module does what the rung says.
Finished tasks are never done again: a new plan covers only the remaining ones, with the bytes that were measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from pipelines.devices.limits import room_for
from pipelines.run.engine import Engine
from pipelines.run.job import Job
from pipelines.run.ladder import (
    Action,
    Alternative,
    Mode,
    Rung,
    State,
    Trouble,
    next_rung,
    restore_placement,
    stop_sentence,
)
from pipelines.run.outcome import MemoryTrouble, Outcome
from pipelines.run.resume import all_tasks
from pipelines.schema.config import Variant
from pipelines.schema.errors import DoesNotFit, OutOfMemory
from pipelines.schema.ids import TaskId

#: How long to wait for another process to give its memory back before planning around it.
PATIENCE_SECONDS = 2.0
#: Rungs that change nothing about a task: where they did not help one task, they will not help the next to give way.
_CHANGING_NOTHING = frozenset({Action.FREE, Action.RETRY, Action.REPLAN})


@dataclass(frozen=True, slots=True)
class Corrections:
    """What a run has learned that its first plan did not know.

    limit_bytes: the limit that holds now. extra_weights, extra_workspace: bytes above the plan, by variant (or node) name.
    """

    limit_bytes: int | None
    extra_weights: Mapping[str, int] = field(default_factory=dict)
    extra_workspace: Mapping[str, int] = field(default_factory=dict)


class Replanner(Protocol):
    """Whoever made the job: plans the rest of it again, and knows other ways to do its nodes."""

    def replan(self, job: Job, variants: Mapping[str, Variant], corrections: Corrections, finished: set[str]) -> Job:
        """The job of the tasks that are not in `finished`, planned again. Raises `DoesNotFit`."""

    def alternatives(self, job: Job, node: str, corrections: Corrections) -> tuple[tuple[Alternative, Variant], ...]:
        """Other ways to do a node: smaller batch or segment first, then the next variants the tier allows, then the CPU."""

    def pinned(self, node: str) -> frozenset[str]:
        """What the user fixed of a node: `variant`, `batch`, `segment`, `device`."""


class RestorePlacement(Exception):
    """The bytes that made tasks move are free again. Raised between two steps."""

    def __init__(self, rung: Rung) -> None:
        super().__init__(rung.line)
        self.rung = rung


@dataclass
class Recovery:
    """Executes an engine's job to its end, through memory trouble. `on_plan` is called with every new job."""

    engine: Engine
    replanner: Replanner
    mode: Mode
    on_plan: Callable[[Job], None] = lambda job: None
    patience: float = PATIENCE_SECONDS
    #: By task, the rungs that were tried for it.
    tried: dict[str, list[Rung]] = field(default_factory=dict)
    #: The first variant of each node whose tasks moved because another process took memory.
    _displaced: dict[str, Variant] = field(default_factory=dict)
    _had_room: bool = False

    def execute(self) -> Outcome:
        """Everything the engine's job holds. Raises `OutOfMemory` with all that was tried when the ladder ends."""
        self.corrections = self._planned = Corrections(self.engine.job.plan.limit_bytes)
        self._first_limit = self.corrections.limit_bytes
        self.engine.before_step = self._check_displaced
        try:
            while True:
                try:
                    return self.engine.execute()
                except MemoryTrouble as trouble:
                    self._climb(trouble)
                except RestorePlacement as restore:
                    self._restore(restore.rung)
                self.engine.device.reclaim()  # not sooner: until here the error's frames held what had been taken
        finally:
            self.engine.unload_all()

    # -- the ladder ---------------------------------------------------------------------------------------------

    def _climb(self, trouble: MemoryTrouble) -> None:
        """Try rungs until the engine can go on.

        Where nothing helps the task in trouble, the tasks of the models beside it have to give way, the largest first;
        where a plan fails because of another task, that one has to. What the first changed to is kept.
        """
        self._learn(trouble)
        others = self.engine.next_tasks_of_others(trouble.task)
        variants, mode, useless = dict(self.engine.job.variants), self.mode, list[Rung]()
        while True:
            rung, variant = self._next_rung(trouble, mode, useless)
            if rung.action is Action.STOP and not others:
                return self._stop(rung, trouble)
            if rung.action is Action.STOP:
                blamed, variants = others.pop(0), dict(self.engine.job.variants)
            else:
                self._tell(rung, trouble.task)
                in_the_way = self._apply(rung, variant, trouble, variants)
                if in_the_way is None:
                    return None
                blamed = in_the_way
            if blamed != trouble.task:
                useless += [tried for tried in self.tried.get(trouble.task, []) if tried.action in _CHANGING_NOTHING]
                mode = replace(self.mode, rungs=self.mode.rungs - _CHANGING_NOTHING)
                trouble = trouble.blaming(blamed)

    def _next_rung(self, trouble: MemoryTrouble, mode: Mode, useless: Sequence[Rung]) -> tuple[Rung, Variant | None]:
        """The ladder's answer, and the variant it goes on with."""
        node = TaskId.parse(trouble.task).node
        alternatives = self.replanner.alternatives(self.engine.job, node, self.corrections)
        state = State(
            task=trouble.task,
            trouble=trouble.kind,
            mode=mode,
            limit_bytes=self._limit(trouble),
            needed_bytes=trouble.needed_bytes,
            alternatives=tuple(alternative for alternative, _ in alternatives),
            pinned=self.replanner.pinned(node),
            tried=(*self.tried.get(trouble.task, ()), *useless),
        )
        rung = next_rung(state)
        variant = next((variant for alternative, variant in alternatives if rung.alternative == alternative), None)
        if rung.action is Action.STOP:
            rung = replace(rung, because=stop_sentence(state))
        return rung, variant

    def _apply(
        self, rung: Rung, variant: Variant | None, trouble: MemoryTrouble, variants: dict[str, Variant]
    ) -> str | None:
        """Do what a rung says. Returns None if the engine can go on, else the task for which there is no plan.

        variants: the variant of every node; a changed variant is put in.
        """
        if rung.action in (Action.FREE, Action.RETRY):
            wait = self.patience if trouble.kind is Trouble.FOREIGN else 0.0
            room_for(self.engine.device, max(0, trouble.needed_bytes - self.engine.device.used_bytes()), wait)
            return None
        if variant is not None:
            variants[TaskId.parse(trouble.task).node] = variant
        before = self.engine.job.variants
        try:
            self._replan(variants)
        except DoesNotFit as error:
            self.engine.emit("warning", text=f"no plan for the rest that way: {error}")
            return error.refusal.task or trouble.task
        if trouble.kind is Trouble.FOREIGN:
            self._displaced = {node: was for node, was in before.items() if variants[node] != was} | self._displaced
        return None

    def _stop(self, rung: Rung, trouble: MemoryTrouble) -> None:
        """Nothing is left to try. Where the limit has not been passed yet, going on is no worse than stopping."""
        if trouble.kind is Trouble.DRIFT and trouble.needed_bytes <= self._limit(trouble):
            self.tried.setdefault(trouble.task, []).append(rung)
            text = f"{trouble.task} took more than planned; the plan is kept, for no other fits."
            self.engine.emit("warning", text=text)
            return
        self._tell(rung, trouble.task)
        raise OutOfMemory(rung.because) from trouble

    def _tell(self, rung: Rung, task: str) -> None:
        self.tried.setdefault(task, []).append(rung)
        self.engine.emit("rung", rung=rung.action.value, because=rung.line, task=task)

    def _replan(self, variants: Mapping[str, Variant]) -> None:
        """Plan the remaining tasks again and give them to the engine. Raises `DoesNotFit` and leaves the engine as it was."""
        job = self.replanner.replan(self.engine.job, variants, self.corrections, self.engine.outcome.closed)
        self.engine.unload_all()
        self.engine.adopt(job)
        self._planned = self.corrections
        plan = job.plan
        self.engine.emit(
            "replan", remaining=len(job.problem.tasks), limit_bytes=plan.limit_bytes, peak_bytes=plan.peak_bytes,
            steps=len(plan.steps),
        )  # fmt: skip
        self.on_plan(job)

    # -- what is known of memory --------------------------------------------------------------------------------

    def _limit(self, trouble: MemoryTrouble) -> int:
        limits = [limit for limit in (self.corrections.limit_bytes, trouble.limit_bytes) if limit is not None]
        return min(limits) if limits else trouble.needed_bytes

    def _learn(self, trouble: MemoryTrouble) -> None:
        """What the trouble has shown: how many bytes its subject really takes, or how much room other processes leave."""
        limit = self._limit(trouble) if trouble.limit_bytes is not None else self.corrections.limit_bytes
        weights, workspace = dict(self.corrections.extra_weights), dict(self.corrections.extra_workspace)
        learned, planned = (
            (weights, self._planned.extra_weights) if trouble.loading else (workspace, self._planned.extra_workspace)
        )
        more = max(0, trouble.needed_bytes - trouble.predicted_bytes)
        if more:  # above the plan, which holds `planned` bytes of corrections already
            subject = trouble.subject
            learned[subject] = max(learned.get(subject, 0), planned.get(subject, 0) + more)
        self.corrections = Corrections(limit, weights, workspace)

    # -- displaced tasks ----------------------------------------------------------------------------------------

    def _check_displaced(self) -> None:
        """Between two steps: raise `RestorePlacement` where bytes that others took are free again, and have stayed free."""
        if self.corrections.limit_bytes is None or self._displaced.keys().isdisjoint(self._open_nodes()):
            return
        device, needed = self.engine.device, self._first_limit or self.corrections.limit_bytes
        first = Alternative("the first plan's variants", frozenset(), needed)
        rung = restore_placement(first, device.free_bytes(), device.used_bytes(), 0.0, self._had_room)
        self._had_room = device.free_bytes() + device.used_bytes() >= needed
        if rung is not None:
            raise RestorePlacement(rung)

    def _restore(self, rung: Rung) -> None:
        """Plan the rest with the first variant of every displaced node. Where that does not fit, they stay as they are."""
        displaced, self._displaced = self._displaced, {}
        before, self.corrections = self.corrections, replace(self.corrections, limit_bytes=self._first_limit)
        self._had_room = False
        for task, rungs in self.tried.items():
            if TaskId.parse(task).node in displaced:
                rungs.append(rung)
        self.engine.emit("rung", rung=rung.action.value, because=rung.line)
        try:
            self._replan({**self.engine.job.variants, **displaced})
        except DoesNotFit:
            self.corrections = before

    def _open_nodes(self) -> set[str]:
        """The nodes that still have tasks to do."""
        closed = self.engine.outcome.closed
        return {TaskId.parse(task).node for task in all_tasks(self.engine.job.problem) if task not in closed}


def rung_lines(tried: Mapping[str, list[Rung]]) -> dict[str, list[str]]:
    """The rungs of a run, by task, for its record."""
    return {task: [rung.line for rung in rungs] for task, rungs in tried.items()}
