"""An explanation as plain lines of text. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipelines.plan.explain.moments import BytesByHolder, Moment
from pipelines.plan.explain.prices import Price, Prices
from pipelines.plan.explain.reasons import Barrier, Explanation
from pipelines.schema.units import format_bytes, format_seconds


def lines(explanation: Explanation, *, most: int = 40) -> list[str]:
    """Everything, at most `most` barriers of it."""
    shown = explanation.barriers[:most]
    left = len(explanation.barriers) - len(shown)
    return [
        *(barrier_line(barrier) for barrier in shown),
        *([f"... and {left} more loads and unloads."] if left else []),
        *binding_lines(explanation.binding, explanation.headroom_bytes),
        load_line(explanation),
        *price_lines(explanation.prices),
    ]


def barrier_line(barrier: Barrier) -> str:
    """`steps[4]  unload whisper: next used in 3 steps (b/transcribe), 0.3 s to bring back; demucs needs 410 MiB now`."""
    return f"steps[{barrier.step}]  {barrier.kind} {barrier.model}: {barrier.reason}"


def binding_lines(moment: Moment, headroom: int | None) -> Iterator[str]:
    """The highest moment, its parts from large to small."""
    where = "Before anything is loaded" if moment.step is None else f"The highest moment is steps[{moment.step}]"
    spare = "" if headroom is None else f", {format_bytes(headroom)} under the limit"
    yield f"{where}: {format_bytes(moment.total)}{spare}."
    if moment.context:
        yield f"  context    {format_bytes(moment.context)}"
    yield from _part("weights", moment.weights)
    if moment.above:
        yield f"  loading    {format_bytes(moment.above)} above the weights, while a model loads"
    yield from _part("outputs", moment.outputs)
    yield from _part("workspace", moment.workspaces)


def _part(name: str, parts: BytesByHolder) -> Iterator[str]:
    if parts:
        largest = sorted(parts, key=lambda part: (-part[1], part[0]))
        words = [f"{who} {format_bytes(count)}" for who, count in largest[:6]]
        more = [f"{len(largest) - 6} more"] if len(largest) > 6 else []
        yield f"  {name:<10} {format_bytes(sum(count for _, count in parts))}: {', '.join([*words, *more])}"


def load_line(explanation: Explanation) -> str:
    """Hidden and exposed load seconds in a sentence."""
    time = explanation.load_time
    return (
        f"Loading takes {format_seconds(time.total)}: {format_seconds(time.hidden)} hidden behind work, "
        f"{format_seconds(time.exposed)} waited for."
    )


def price_lines(prices: Prices) -> Iterator[str]:
    """What more and less memory would change."""
    yield from (f"{_change(price)}." for price in prices.more)
    if not prices.more:
        yield "More memory would save no load."
    yield from (f"{_change(price)}." for price in reversed(prices.less))
    proof = "no plan fits below it" if prices.smallest_proved else "none lower was found"
    yield f"The smallest limit that works is {format_bytes(prices.smallest_bytes)} ({prices.smallest_bytes} bytes): {proof}."


def _change(price: Price) -> str:
    sign = "+" if price.change_bytes >= 0 else "-"
    size = f"{sign}{format_bytes(abs(price.change_bytes))} (a limit of {format_bytes(price.limit_bytes)})"
    return f"{size} would {_effects(price)}"


def _effects(price: Price) -> str:
    parts: Sequence[str] = [
        *([f"{'remove' if price.loads < 0 else 'add'} {_count(abs(price.loads))}"] if price.loads else []),
        *([_streams(price.streams)] if price.streams else []),
        *([f"{price.seconds:+.1f} s"] if abs(price.seconds) >= 0.05 else []),
    ]
    return ", ".join(parts) or "cost nothing"


def _streams(change: int) -> str:
    what = f"{abs(change)} task{'s' * (abs(change) > 1)}"
    return f"stream {what} more" if change > 0 else f"run {what} node by node, without streaming"


def _count(loads: int) -> str:
    return f"{loads} reload{'s' if loads > 1 else ''}"
