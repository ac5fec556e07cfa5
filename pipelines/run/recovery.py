"""Carries a run through memory trouble: asks the ladder what to try, does it, and goes on with what is not finished.

The engine raises `MemoryTrouble`; the ladder (a pure function) names the next rung; this module climbs it. Finished
tasks are never done again, and a new plan covers only the remaining ones, with the bytes that were seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from pipelines.devices.limits import room_for
from pipelines.run.engine import Engine
from pipelines.run.job import Job
from pipelines.run.ladder import Action, Choice, Mode, Rung, State, Trouble, next_rung, stop_sentence, way_back
from pipelines.run.outcome import MemoryTrouble, Outcome
from pipelines.schema.config import Variant
from pipelines.schema.errors import DoesNotFit, OutOfMemory
from pipelines.schema.ids import TaskId, parts

#: How long another process is given to end before its memory is planned around.
PATIENCE_SECONDS = 2.0
#: In vain for one task is in vain for the one that has to give way next.
_CHANGING_NOTHING = frozenset({Action.FREE, Action.RETRY, Action.REPLAN})


@dataclass(frozen=True, slots=True)
class Seen:
    """Bytes above the plan, by variant (or node) name, and the limit that holds now."""

    limit_bytes: int | None
    extra_weights: Mapping[str, int] = field(default_factory=dict)
    extra_workspace: Mapping[str, int] = field(default_factory=dict)


class Planner(Protocol):
    """What recovery asks of whoever made the job."""

    def replan(self, job: Job, choice: Mapping[str, Variant], seen: Seen, gone: set[str]) -> Job:
        """The job of the tasks that are not in `gone`, planned anew. Raises `DoesNotFit`."""

    def alternatives(self, job: Job, node: str, seen: Seen) -> tuple[tuple[Choice, Variant], ...]:
        """Other ways to do a node: smaller batch or segment first, then the next variants the tier allows, then the CPU."""

    def pinned(self, node: str) -> frozenset[str]:
        """What the user fixed of a node: `variant`, `batch`, `segment`, `device`."""


class _Homeward(Exception):
    """The bytes that made tasks move are there again."""

    def __init__(self, rung: Rung) -> None:
        super().__init__(rung.line)
        self.rung = rung


@dataclass
class Recovery:
    """One run's way down the ladder. `on_plan` hears of every new job, so that its plan can be written down."""

    engine: Engine
    planner: Planner
    mode: Mode
    on_plan: Callable[[Job], None] = lambda job: None
    patience: float = PATIENCE_SECONDS
    tried: dict[str, list[Rung]] = field(default_factory=dict)
    _away: dict[str, Variant] = field(default_factory=dict)
    _room_before: bool = False

    def carry_out(self) -> Outcome:
        """Everything the engine's job holds. Raises `OutOfMemory` with all that was tried when the ladder ends."""
        self.seen = self._planned = self._first = Seen(self.engine.job.plan.limit_bytes)
        self.engine.between = self._look_homeward
        try:
            while True:
                try:
                    return self.engine.carry_on()
                except MemoryTrouble as trouble:
                    self._climb(trouble)
                except _Homeward as way:
                    self._go_home(way)
                self.engine.device.reclaim()  # not sooner: until here the error's frames held what had been taken
        finally:
            self.engine.unload_all()

    def _climb(self, trouble: MemoryTrouble) -> None:
        """Rungs until one can be carried out; the engine then tries again."""
        self._learn(trouble)
        beside = self.engine.wanted_beside(trouble.task)
        choice, mode, vain = dict(self.engine.job.choice), self.mode, list[Rung]()
        while True:
            rung, variant = self._next(trouble, mode, vain)
            if rung.action is Action.STOP and not beside:
                return self._end(rung, trouble)
            if rung.action is Action.STOP:  # nothing helps it; what lies beside it may give way
                blamed, choice = beside.pop(0), dict(self.engine.job.choice)
            else:
                self.tried.setdefault(trouble.task, []).append(rung)
                self.engine.emit("rung", rung=rung.action.value, because=rung.line, task=trouble.task)
                stands = self._do(rung, variant, trouble, choice)
                if stands is None:
                    return None
                blamed = stands
            if blamed != trouble.task:  # both may have to change: what the first changed to is kept
                vain += [tried for tried in self.tried.get(trouble.task, []) if tried.action in _CHANGING_NOTHING]
                mode = replace(self.mode, rungs=self.mode.rungs - _CHANGING_NOTHING)
                trouble = trouble.of(blamed)

    def _end(self, rung: Rung, trouble: MemoryTrouble) -> None:
        """Nothing is left to try. Where the limit was not passed yet, going on is no worse than stopping."""
        self.tried.setdefault(trouble.task, []).append(rung)
        if trouble.kind is Trouble.DRIFT and trouble.needed_bytes <= self._limit(trouble):
            text = f"{trouble.task} took more than planned; the plan is kept, for no other fits."
            self.engine.emit("warning", text=text)
            return
        self.engine.emit("rung", rung=rung.action.value, because=rung.line, task=trouble.task)
        raise OutOfMemory(rung.because) from trouble

    def _next(self, trouble: MemoryTrouble, mode: Mode, vain: Sequence[Rung]) -> tuple[Rung, Variant | None]:
        node = TaskId.parse(trouble.task).node
        options = self.planner.alternatives(self.engine.job, node, self.seen)
        state = State(
            task=trouble.task,
            trouble=trouble.kind,
            mode=mode,
            limit_bytes=self._limit(trouble),
            needed_bytes=trouble.needed_bytes,
            choices=tuple(choice for choice, _ in options),
            pinned=self.planner.pinned(node),
            tried=(*self.tried.get(trouble.task, ()), *vain),
        )
        rung = next_rung(state)
        variant = next((variant for choice, variant in options if rung.choice == choice), None)
        if rung.action is Action.STOP:
            rung = replace(rung, because=stop_sentence(state))
        return rung, variant

    def _do(
        self, rung: Rung, variant: Variant | None, trouble: MemoryTrouble, choice: dict[str, Variant]
    ) -> str | None:
        """Carry a rung out. None, or where it did not lead to a plan the task that stands in the way.

        choice: of every node; a changed variant is put in.
        """
        if rung.action in (Action.FREE, Action.RETRY):
            wait = self.patience if trouble.kind is Trouble.FOREIGN else 0.0
            room_for(self.engine.device, max(0, trouble.needed_bytes - self.engine.device.used_bytes()), wait)
            return None
        if variant is not None:
            choice[TaskId.parse(trouble.task).node] = variant
        before = self.engine.job.choice
        try:
            self._take(choice)
        except DoesNotFit as error:
            self.engine.emit("warning", text=f"no plan for the rest that way: {error}")
            return error.refusal.task or trouble.task
        if trouble.kind is Trouble.FOREIGN:
            self._away = {node: was for node, was in before.items() if choice[node] != was} | self._away
        return None

    def _take(self, choice: Mapping[str, Variant]) -> None:
        """Plan what is left anew and hand it to the engine. Raises `DoesNotFit` with the engine as it was."""
        outcome = self.engine.outcome
        job = self.planner.replan(self.engine.job, choice, self.seen, outcome.done | outcome.dead)
        self.engine.unload_all()
        self.engine.device.reclaim()
        self.engine.take(job)
        self._planned = self.seen
        plan = job.plan
        self.engine.emit(
            "replan", remaining=len(job.problem.tasks), limit_bytes=plan.limit_bytes, peak_bytes=plan.peak_bytes,
            steps=len(plan.steps),
        )  # fmt: skip
        self.on_plan(job)

    def _look_homeward(self) -> None:
        """Between two steps: have the bytes that others took come back, and stayed, so that moved tasks may go home?"""
        if self.seen.limit_bytes is None or self._away.keys().isdisjoint(self._nodes_left()):
            return
        device, first = self.engine.device, self._first.limit_bytes
        home = Choice("the first plan's variants", frozenset(), first or self.seen.limit_bytes)
        rung = way_back(home, device.free_bytes(), device.used_bytes(), 0.0, self._room_before)
        self._room_before = device.free_bytes() + device.used_bytes() >= home.needed_bytes
        if rung is not None:
            raise _Homeward(rung)

    def _go_home(self, way: _Homeward) -> None:
        away, self._away = self._away, {}
        stayed, self.seen = self.seen, replace(self.seen, limit_bytes=self._first.limit_bytes)
        self._room_before = False
        for task, rungs in self.tried.items():
            if TaskId.parse(task).node in away:
                rungs.append(way.rung)
        self.engine.emit("rung", rung=way.rung.action.value, because=way.rung.line)
        try:
            self._take({**self.engine.job.choice, **away})
        except DoesNotFit:
            self.seen = stayed

    def _nodes_left(self) -> set[str]:
        gone = self.engine.outcome.done | self.engine.outcome.dead
        tasks = (one for task in self.engine.job.problem.tasks for one in parts(task.id))
        return {TaskId.parse(task).node for task in tasks if task not in gone}

    def _limit(self, trouble: MemoryTrouble) -> int:
        limits = [limit for limit in (self.seen.limit_bytes, trouble.limit_bytes) if limit is not None]
        return min(limits) if limits else trouble.needed_bytes

    def _learn(self, trouble: MemoryTrouble) -> None:
        """What the trouble has taught: the subject's bytes, or the room that others leave."""
        limit = self._limit(trouble) if trouble.limit_bytes is not None else self.seen.limit_bytes
        weights, workspace = dict(self.seen.extra_weights), dict(self.seen.extra_workspace)
        book, planned = (
            (weights, self._planned.extra_weights) if trouble.loading else (workspace, self._planned.extra_workspace)
        )
        more = max(0, trouble.needed_bytes - trouble.predicted_bytes)
        if more:  # above the plan, which is the same one until the rest is planned anew
            book[trouble.subject] = max(book.get(trouble.subject, 0), planned.get(trouble.subject, 0) + more)
        self.seen = Seen(limit, weights, workspace)


def facts(tried: Mapping[str, list[Rung]]) -> dict[str, Any]:
    """The rungs of a run for its record."""
    return {task: [rung.line for rung in rungs] for task, rungs in tried.items()}
