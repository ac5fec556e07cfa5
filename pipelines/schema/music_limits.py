"""What a request for music may be under a memory limit; larger requests are clamped or refused. Pure; reads no files.

Nothing calls this yet: the music pipeline will, for the command line, tables and the service alike.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from numbers import Real
from typing import Any, TypeVar

from pipelines.schema.errors import UsageError
from pipelines.schema.settings import Excess, MusicTier
from pipelines.schema.units import parse_bytes

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class MusicLimits:
    """The limits of one row of `conf/ladder/music.yaml`.

    Attributes
    ----------
    duration : most seconds without the language model.
    duration_with_lm : most seconds with it; None where the row allows no language model.
    batch : most samples made at once.
    lm : sizes of the language model that are allowed, largest first.
    lm_default : whether the language model is used where the request does not say.
    offload, offload_dit : whether weights, and those of the diffusion transformer, wait in host memory.
    """

    duration: float
    duration_with_lm: float | None
    batch: int
    lm: tuple[str, ...] = ()
    lm_default: bool = False
    offload: bool = True
    offload_dit: bool = True

    def bounds(self, request: Mapping[str, Any]) -> dict[str, Bound]:
        """The bounds of one request; how long it may be depends on whether it uses the language model."""
        uses = bool(self.lm) and self.duration_with_lm is not None and request.get("lm") not in (None, False, "none")
        duration = self.duration_with_lm if uses and self.duration_with_lm is not None else self.duration
        return {"duration": Bound(most=duration), "batch": Bound(most=self.batch), "lm": Bound(one_of=self.lm)}


@dataclass(frozen=True, slots=True)
class Bound:
    """Either a number's upper end, or the values a name may have, the best allowed first (None is always allowed)."""

    most: float | None = None
    one_of: tuple[str, ...] = ()

    def holds(self, value: Any) -> bool:
        """Whether `value` is within."""
        if value in (None, False, "none"):
            return True
        if self.most is not None:
            return isinstance(value, Real) and not math.isnan(value) and value <= self.most
        return value in self.one_of

    def nearest(self, value: Any) -> Any:
        """The allowed value nearest to one that is not."""
        if self.most is None:
            return self.one_of[0] if self.one_of else None
        kind: Any = type(value)
        return kind(self.most) if isinstance(value, Real) and not isinstance(value, bool) else self.most

    def __str__(self) -> str:
        if self.most is not None:
            return f"at most {self.most:g}"
        return f"one of {', '.join(self.one_of)}" if self.one_of else "left away"


def music_limits(
    rows: Sequence[Mapping[str, Any]], limit_bytes: int | None, music: MusicTier | None = None
) -> MusicLimits:
    """The row of `conf/ladder/music.yaml` for `limit_bytes` (None: no limit), with the tier's own `music` settings over it."""
    row = next(
        r for r in rows if r["up_to"] is None or (limit_bytes is not None and limit_bytes <= parse_bytes(r["up_to"]))
    )
    limits = MusicLimits(**{**{key: value for key, value in row.items() if key != "up_to"}, "lm": tuple(row["lm"])})
    over: dict[str, Any] = {key: value for key, value in asdict(music).items() if value is not None} if music else {}
    if limits.duration_with_lm is None:
        over.pop("duration_with_lm", None)  # a length does not bring the model that needs the memory
    return replace(limits, **over)


def within(
    request: Mapping[str, Any], bounds: Mapping[str, Bound], on_excess: Excess = "clamp"
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """`request` inside its bounds, and a sentence for each value that was lowered.

    on_excess: `clamp`, or `refuse`, which raises `UsageError` naming every value over its bound. What should be a number and is
    none cannot be lowered and is refused either way.
    """
    over = {name: bound for name, bound in bounds.items() if name in request and not bound.holds(request[name])}
    for name, bound in over.items():
        if bound.most is not None and not isinstance(request[name], Real):
            raise UsageError(f"{name}={request[name]!r} is not a number; it must be {bound}.")
    faults = tuple(
        f"{name}={request[name]!r} is over what this tier allows; it must be {bound}" for name, bound in over.items()
    )
    if over and on_excess == "refuse":
        raise UsageError(". ".join(faults) + ". Ask for less, or set tier.on_excess=clamp.")
    lowered = {name: bound.nearest(request[name]) for name, bound in over.items()}
    notes = tuple(f"{text}: lowered to {lowered[name]!r}." for text, name in zip(faults, over, strict=True))
    return {**request, **lowered}, notes


def limited(
    limits: MusicLimits, on_excess: Excess = "clamp", warn: Callable[[str], None] = lambda sentence: None
) -> Callable[[Function], Function]:
    """A decorator that holds a function's `duration`, `batch` and `lm` to a tier's limits, however they are passed.

    Values the function defaults to are held too: a default may be more than a small card can do.

    >>> limits = MusicLimits(duration=180, duration_with_lm=None, batch=1)
    >>> @limited(limits)
    ... def generate(text, duration=240, batch=2):
    ...     return duration, batch
    >>> generate("a waltz")
    (180, 1)
    """

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        keywords = next((each.name for each in signature.parameters.values() if each.kind is each.VAR_KEYWORD), "")

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            given = signature.bind(*args, **kwargs)
            given.apply_defaults()
            rest = given.arguments.get(keywords, {})
            homes = {name: given.arguments if name in given.arguments else rest for name in ("duration", "batch", "lm")}
            request: dict[str, Any] = {name: home[name] for name, home in homes.items() if name in home}
            # A request for a model that is not allowed is lowered first: then the longer duration applies.
            request, lm_notes = within(request, {"lm": Bound(one_of=limits.lm)}, on_excess)
            held, notes = within(request, limits.bounds(request), on_excess)
            for note in (*lm_notes, *notes):
                warn(note)
            for name, value in held.items():
                homes[name][name] = value
            return function(*given.args, **given.kwargs)

        return call  # type: ignore[return-value]

    return decorate
