"""What to try when memory does not behave as planned: a ladder of remedies, of which a pure function names the next one.

      free       give caches back                                 (out of memory, another process)
      retry      execute the same step again; once, twice in the mode `aggressive` (out of memory, another process)
      replan     plan the remaining tasks again, with the bytes that were measured and the limit as it is now
      smaller    the same variant with a smaller batch or segment
      variant    the next variant that the tier allows
      cpu        the same variant on the CPU, for the roles in the tier's `cpu_fallback`
      stop       exit code 5, saying what was tried
      back       the first choice again, once the bytes are free that were missing (placement restored)

`recovery` calls `next_rung`, does what it says, and calls it again with the rung added to `tried` if that did not help. Each
rung is an event and a line on the screen. After a rung that displaced a task (smaller, variant, cpu), `restore_placement` says
when the bytes have returned and the first choice may be used again. What the user pinned is never changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from pipelines.schema.units import format_bytes


class Trouble(Enum):
    """What went wrong: an allocation failed, a step took more than its prediction, or others (foreign processes) hold bytes."""

    OUT_OF_MEMORY = "memory ran out"
    DRIFT = "more memory was used than planned"
    FOREIGN = "another process took memory"


class Action(Enum):
    """A rung's kind, in the order in which they are tried, to STOP; BACK undoes one. The value is the name in events."""

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
    """One setting of `memory_mode`. margin_factor: multiplies every prediction's margin. retries: of one step. rungs: those allowed."""

    name: str
    margin_factor: float
    retries: int
    rungs: frozenset[Action]


_SAME_RESULT = frozenset({Action.FREE, Action.RETRY, Action.REPLAN, Action.SMALLER})
_ALL = _SAME_RESULT | {Action.VARIANT, Action.CPU}
#: conservative plans with wide margins and never changes which model is used or where. balanced is the default. aggressive
#: plans with narrow margins and relies on the ladder.
MODES = {
    "conservative": Mode("conservative", 1.5, 1, _SAME_RESULT),
    "balanced": Mode("balanced", 1.0, 1, _ALL),
    "aggressive": Mode("aggressive", 0.5, 2, _ALL),
}


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another way to do a task. changes: what differs from now, of `batch`, `segment`, `variant`, `device`.

    needed_bytes: of the whole device, the context included; 0 where nothing stays on it.
    """

    name: str
    changes: frozenset[str]
    needed_bytes: int


@dataclass(frozen=True, slots=True)
class Rung:
    """One remedy. because: why, for people."""

    action: Action
    because: str
    alternative: Alternative | None = None

    @property
    def line(self) -> str:
        """For the screen."""
        does = {
            Action.FREE: "freeing caches",
            Action.RETRY: "trying again",
            Action.REPLAN: "planning the rest anew",
            Action.STOP: "stopping",
        }
        if self.alternative is None:
            return f"{self.because}; {does[self.action]}"
        where = "going back to" if self.action is Action.BACK else "going on with"
        return f"{self.because}; {where} {self.alternative.name}"


@dataclass(frozen=True, slots=True)
class State:
    """Everything that the next rung depends on.

    task: whose step it was. limit_bytes: in force now (the plan's, or what others have left). needed_bytes: measured or
    last predicted peak of the step. alternatives: other ways to do the task that the tier allows, in its order.
    pinned: what the user fixed, of `batch`, `segment`, `variant`, `device`. tried: rungs so far for this task.
    """

    task: str
    trouble: Trouble
    mode: Mode
    limit_bytes: int
    needed_bytes: int
    alternatives: tuple[Alternative, ...] = ()
    pinned: frozenset[str] = frozenset()
    tried: tuple[Rung, ...] = ()


def next_rung(state: State) -> Rung:
    """The next remedy for `state`; `Action.STOP` when none is left. Never repeats a rung more often than `retries` allows."""
    for action in (Action.FREE, Action.RETRY, Action.REPLAN):
        if action in state.mode.rungs and _applies(action, state) and _times(action, state) < _allowed(action, state):
            return Rung(action, _because(state))
    for action in (Action.SMALLER, Action.VARIANT, Action.CPU):
        alternative = _next_alternative(action, state) if action in state.mode.rungs else None
        if alternative is not None:
            return Rung(action, _because(state), alternative)
    return Rung(Action.STOP, stop_sentence(state))


def restore_placement(first: Alternative, free_bytes: int, held_bytes: int, margin: float, waited: bool) -> Rung | None:
    """The rung back to the `first` choice of a displaced task, if its bytes, and `margin` of them more, are there again.

    held_bytes: what of the need is on the device already. waited: whether the room was there at the last check too, so
    that another process that comes and goes does not move our tasks back and forth.
    """
    wanted = round(first.needed_bytes * (1 + margin))
    if free_bytes + held_bytes < wanted or not waited:
        return None
    return Rung(Action.BACK, f"{format_bytes(free_bytes)} are free again", first)


def stop_sentence(state: State) -> str:
    """The message of exit code 5: the task, the bytes, everything that was tried, and the next step."""
    tried = (
        "; ".join(dict.fromkeys(_tried_text(rung) for rung in state.tried if rung.action is not Action.STOP))
        or "nothing was left to try"
    )
    held = f" Not touched, because you fixed it: {', '.join(sorted(state.pinned))}." if state.pinned else ""
    needed, limit = format_bytes(state.needed_bytes), format_bytes(state.limit_bytes)
    over = state.needed_bytes > state.limit_bytes
    bytes_ = f"needs {needed} and {limit} may be used" if over else f"was to take {needed} of {limit} and wanted more"
    return f"{state.task} {bytes_}: {state.trouble.value}. Tried: {tried}.{held} `headroom fit` shows the smallest tier that works."


def _applies(action: Action, state: State) -> bool:
    """Whether an action answers the trouble. After drift the step has ended, so only what is left is planned again."""
    return action is Action.REPLAN or state.trouble is not Trouble.DRIFT


def _times(action: Action, state: State) -> int:
    """How often an action was tried: a new plan since the task last changed, the others since it last had its first choice."""
    since = _since_last_change if action is Action.REPLAN else _since_restored
    return sum(rung.action is action for rung in since(state.tried))


def _allowed(action: Action, state: State) -> int:
    return state.mode.retries if action is Action.RETRY else 1


def _since_last_change(tried: Sequence[Rung]) -> Sequence[Rung]:
    changes = [at for at, rung in enumerate(tried) if rung.alternative is not None]
    return tried[changes[-1] + 1 :] if changes else tried


def _since_restored(tried: Sequence[Rung]) -> Sequence[Rung]:
    """The rungs since the first choice was restored: from then on everything may be tried again."""
    restored = [at for at, rung in enumerate(tried) if rung.action is Action.BACK]
    return tried[restored[-1] + 1 :] if restored else tried


def _next_alternative(action: Action, state: State) -> Alternative | None:
    used = {rung.alternative.name for rung in _since_restored(state.tried) if rung.alternative is not None}
    for other in state.alternatives:
        fits = other.needed_bytes <= state.limit_bytes
        if _kind(other) is action and other.name not in used and not other.changes & state.pinned and fits:
            return other
    return None


def _kind(alternative: Alternative) -> Action:
    if "device" in alternative.changes:
        return Action.CPU
    return Action.VARIANT if "variant" in alternative.changes else Action.SMALLER


def _because(state: State) -> str:
    return f"{state.task}: {state.trouble.value}"


def _tried_text(rung: Rung) -> str:
    texts = {
        Action.FREE: "caches were freed",
        Action.RETRY: "the step was tried again",
        Action.REPLAN: "the rest was planned anew",
    }
    return texts[rung.action] if rung.alternative is None else rung.alternative.name
