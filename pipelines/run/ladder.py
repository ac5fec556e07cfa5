"""What to try when memory does not do as planned: one documented ladder, decided by a pure function, a rung at a time.

      free       give caches back                                 (out of memory, another process)
      retry      the same step again, once                        (out of memory, another process)
      replan     the remaining tasks, with what was measured and the limit as it is now
      smaller    the same variant with a smaller batch or segment
      variant    the next variant the tier allows
      cpu        the same variant on the CPU, for the roles in the tier's `cpu_fallback`
      stop       exit 5, saying what was tried

The engine asks `next_rung`, does what it says, and asks again with the rung added to `tried` if that did not help; each
rung is an event and a line on the screen. After a rung that moved a task (smaller, variant, cpu), `way_back` says when
bytes have returned and it may go home. What the user pinned is never among the rungs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from pipelines.schema.units import format_bytes


class Trouble(Enum):
    """What went wrong."""

    OUT_OF_MEMORY = "memory ran out"
    DRIFT = "more memory was used than planned"
    FOREIGN = "another process took memory"


class Action(Enum):
    """A rung's kind, in the order they are climbed down. The value is the name in events."""

    FREE = "free"
    RETRY = "retry"
    REPLAN = "replan"
    SMALLER = "smaller"
    VARIANT = "variant"
    CPU = "cpu"
    STOP = "stop"
    BACK = "back"


@dataclass(frozen=True, slots=True)
class Mode:
    """One setting of `memory_mode`. margin_factor: on every prediction's margin. retries: of one step. rungs: those allowed."""

    name: str
    margin_factor: float
    retries: int
    rungs: frozenset[Action]


_SAME_RESULT = frozenset({Action.FREE, Action.RETRY, Action.REPLAN, Action.SMALLER})
_ALL = _SAME_RESULT | {Action.VARIANT, Action.CPU}
#: conservative plans wide and never changes which model is used or where. balanced is the default. aggressive plans tight
#: and leans on the ladder.
MODES = {
    "conservative": Mode("conservative", 1.5, 1, _SAME_RESULT),
    "balanced": Mode("balanced", 1.0, 1, _ALL),
    "aggressive": Mode("aggressive", 0.5, 2, _ALL),
}


@dataclass(frozen=True, slots=True)
class Choice:
    """Another way to do a task. changes: what differs from now, of `batch`, `segment`, `variant`, `device`.

    needed_bytes: of the device, whole (context included); 0 where nothing stays on it.
    """

    name: str
    changes: frozenset[str]
    needed_bytes: int


@dataclass(frozen=True, slots=True)
class Rung:
    """One remedy. because: why, for people."""

    action: Action
    because: str
    choice: Choice | None = None

    @property
    def line(self) -> str:
        """For the screen."""
        does = {
            Action.FREE: "freeing caches",
            Action.RETRY: "trying again",
            Action.REPLAN: "planning the rest anew",
            Action.STOP: "stopping",
        }
        if self.choice is None:
            return f"{self.because}; {does[self.action]}"
        where = "going back to" if self.action is Action.BACK else "going on with"
        return f"{self.because}; {where} {self.choice.name}"


@dataclass(frozen=True, slots=True)
class State:
    """All the decision rests on.

    task: whose step it was. limit_bytes: in force now (the plan's, or what others have left). needed_bytes: measured or
    last predicted peak of the step. choices: other ways to do the task, best first, as the tier allows them.
    pinned: what the user fixed, of `batch`, `segment`, `variant`, `device`. tried: rungs so far for this task.
    """

    task: str
    trouble: Trouble
    mode: Mode
    limit_bytes: int
    needed_bytes: int
    choices: tuple[Choice, ...] = ()
    pinned: frozenset[str] = frozenset()
    tried: tuple[Rung, ...] = ()


def next_rung(state: State) -> Rung:
    """The next remedy for `state`; `Action.STOP` when none is left. Pure, and it never repeats a rung beyond `retries`."""
    for action in (Action.FREE, Action.RETRY, Action.REPLAN):
        if action in state.mode.rungs and _applies(action, state) and _times(action, state) < _allowed(action, state):
            return Rung(action, _because(state))
    for action in (Action.SMALLER, Action.VARIANT, Action.CPU):
        choice = _next_choice(action, state) if action in state.mode.rungs else None
        if choice is not None:
            return Rung(action, _because(state), choice)
    return Rung(Action.STOP, stop_sentence(state))


def way_back(home: Choice, free_bytes: int, held_bytes: int, margin: float, waited: bool) -> Rung | None:
    """Whether a task that was moved may go home: its bytes, and `margin` of them more, are there again.

    held_bytes: what of the need is on the device already. waited: whether the room was there at the last look too, so
    that a process that comes and goes does not make us do so as well.
    """
    wanted = round(home.needed_bytes * (1 + margin))
    if free_bytes + held_bytes < wanted or not waited:
        return None
    return Rung(Action.BACK, f"{format_bytes(free_bytes)} are free again", home)


def stop_sentence(state: State) -> str:
    """What exit 5 says: the task, the bytes, everything that was tried, and the next step."""
    tried = (
        "; ".join(dict.fromkeys(_told(rung) for rung in state.tried if rung.action is not Action.STOP))
        or "nothing was left to try"
    )
    held = f" Not touched, because you fixed it: {', '.join(sorted(state.pinned))}." if state.pinned else ""
    needed, limit = format_bytes(state.needed_bytes), format_bytes(state.limit_bytes)
    over = state.needed_bytes > state.limit_bytes
    bytes_ = f"needs {needed} and {limit} may be used" if over else f"was to take {needed} of {limit} and wanted more"
    return f"{state.task} {bytes_}: {state.trouble.value}. Tried: {tried}.{held} `headroom fit` shows the smallest tier that works."


def _applies(action: Action, state: State) -> bool:
    """A step that ended is not tried again: drift is answered by planning what is left."""
    return action is Action.REPLAN or state.trouble is not Trouble.DRIFT


def _times(action: Action, state: State) -> int:
    """How often it was tried: a new plan for the task as it is now, patience at all."""
    since = _since_last_change if action is Action.REPLAN else _since_home
    return sum(rung.action is action for rung in since(state.tried))


def _allowed(action: Action, state: State) -> int:
    return state.mode.retries if action is Action.RETRY else 1


def _since_last_change(tried: Sequence[Rung]) -> Sequence[Rung]:
    changes = [at for at, rung in enumerate(tried) if rung.choice is not None]
    return tried[changes[-1] + 1 :] if changes else tried


def _since_home(tried: Sequence[Rung]) -> Sequence[Rung]:
    """Back home, everything may be tried again."""
    homes = [at for at, rung in enumerate(tried) if rung.action is Action.BACK]
    return tried[homes[-1] + 1 :] if homes else tried


def _next_choice(action: Action, state: State) -> Choice | None:
    used = {rung.choice.name for rung in _since_home(state.tried) if rung.choice is not None}
    for choice in state.choices:
        fits = choice.needed_bytes <= state.limit_bytes
        if _kind(choice) is action and choice.name not in used and not choice.changes & state.pinned and fits:
            return choice
    return None


def _kind(choice: Choice) -> Action:
    if "device" in choice.changes:
        return Action.CPU
    return Action.VARIANT if "variant" in choice.changes else Action.SMALLER


def _because(state: State) -> str:
    return f"{state.task}: {state.trouble.value}"


def _told(rung: Rung) -> str:
    told = {
        Action.FREE: "caches were freed",
        Action.RETRY: "the step was tried again",
        Action.REPLAN: "the rest was planned anew",
    }
    return told[rung.action] if rung.choice is None else rung.choice.name
