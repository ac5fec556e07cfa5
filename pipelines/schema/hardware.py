"""The hardware of a machine, and which tier a card is. Pure: looking at the machine is the work of `devices.detect`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipelines.schema.units import GIB, format_bytes

#: Which memory a limit is about: the host's RAM, or the memory of an accelerator (a card, real or simulated).
MemoryKind = Literal["host", "accelerator"]

#: Tiers of cards, least first. `cpu` is not among them: it is where no card can be used.
TIERS = ("low_end", "modest", "mid_range", "upper_mid", "high_end")

#: Sizes cards are sold in, GB as printed on the box. Only those around the tiers' boundaries matter.
_SOLD = (1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 141, 180, 192, 288)
#: A card reports less than its box says: error correction takes 1/16 (a T4 of 16 GB has 15.0 GiB, 14.6 of them for torch,
#: an L4 of 24 GB 22.0), the driver a little. No card reports less than nine tenths.
_REPORTED_SHARE = 0.90


@dataclass(frozen=True, slots=True)
class Rule:
    """A tier's lower boundary: GB of the box and compute capability, both reached."""

    tier: str
    gigabytes: int
    compute: tuple[int, int]


#: The table of document 000 (docs/seeds.md), best first, read half-open ("4-8", "8-16"). The first two rows are ours: it
#: writes "32GB+" for high_end but names the RTX 4090, which has 24; and 16 to 24 GB, the hole that is left, is `upper_mid`.
RULES = (
    Rule("high_end", 24, (8, 0)),
    Rule("upper_mid", 16, (7, 0)),
    Rule("mid_range", 8, (7, 0)),
    Rule("modest", 4, (6, 0)),
)

#: Cards that the table puts lower than their memory does: name as a pattern -> (tier at most, why).
CEILINGS: Mapping[str, tuple[str, str]] = {
    r"\bRTX 3050\b": (
        "modest",
        "the RTX 3050 counts as modest in every size: 8 GB, but half the bandwidth of an RTX 3070",
    ),
}


@dataclass(frozen=True, slots=True)
class Card:
    """One card of a machine.

    total_bytes, used_bytes: as the driver counts, of the whole card. compute: its compute capability (major, minor), None
    where unknown. kind, index: the kind of device and its number, as programs write them (`cuda:0`). processes: (pid, name,
    bytes) of other programs on it, largest first.
    """

    name: str
    total_bytes: int
    compute: tuple[int, int] | None = None
    index: int = 0
    used_bytes: int = 0
    processes: tuple[tuple[int, str, int], ...] = ()
    kind: str = "cuda"

    @property
    def spec(self) -> str:
        """What `device=` opens the card by: `cuda:0`."""
        return f"{self.kind}:{self.index}"


@dataclass(frozen=True, slots=True)
class Hardware:
    """What the machine has. ram_bytes: installed. ram_limit_bytes: what this process may hold, a control group's limit included.

    driver: its version, "" without one. cuda: the newest CUDA that driver speaks. trouble: a line when the driver is there but broken.
    """

    cards: tuple[Card, ...] = ()
    ram_bytes: int = 0
    ram_limit_bytes: int = 0
    cores: int = 1
    driver: str = ""
    cuda: tuple[int, int] | None = None
    trouble: str = ""


def sold_as(total_bytes: int) -> float:
    """GB on the box of a card that reports `total_bytes`: the size sold that it is at least nine tenths of, else what it reports.

    >>> sold_as(32607 * 1024**2), sold_as(15360 * 1024**2), sold_as(7 * 1024**3)
    (32, 16, 7.0)
    """
    gib = total_bytes / GIB
    for size in _SOLD:
        if gib <= size * 1.002 and gib >= size * _REPORTED_SHARE:
            return size
    return round(gib, 1)


def classify(card: Card | None) -> tuple[str, str]:
    """The tier of `card` and a sentence with the reason. None is `cpu`; a card that does not report its memory is `modest`.

    Where the compute capability is not known, the memory alone decides.

    >>> classify(Card("NVIDIA GeForce RTX 4090", 24564 * 1024**2, (8, 9)))[0]
    'high_end'
    """
    if card is None:
        return "cpu", "There is no card that can be used."
    if card.total_bytes <= 0:
        return "modest", f"{card.name or 'The card'} does not say how much memory it has; the unknown counts as modest."
    size = sold_as(card.total_bytes)
    tier = next((rule.tier for rule in RULES if _reaches(rule, size, card.compute)), "low_end")
    reason = f"{card.name} has {_gb(size)}{_compute(card.compute)}: {_why(tier, size, card.compute)}."
    for pattern, (ceiling, why) in CEILINGS.items():
        if re.search(pattern, card.name) and TIERS.index(tier) > TIERS.index(ceiling):
            return ceiling, f"{card.name} has {_gb(size)}{_compute(card.compute)}: {why}."
    return tier, reason


def _reaches(rule: Rule, size: float, compute: tuple[int, int] | None) -> bool:
    return size >= rule.gigabytes and (compute is None or compute >= rule.compute)


def _why(tier: str, size: float, compute: tuple[int, int] | None) -> str:
    held_back = next((r for r in RULES if size >= r.gigabytes and compute is not None and compute < r.compute), None)
    if tier == "low_end":
        base = "low_end is what is below 4 GB or compute capability 6.0"
    else:
        rule = next(rule for rule in RULES if rule.tier == tier)
        base = f"{tier} begins at {rule.gigabytes} GB and compute capability {_dotted(rule.compute)}"
    if held_back is None or tier == "low_end":
        return base
    return f"{base}; {held_back.tier} asks for {_dotted(held_back.compute)}"


def choose(cards: Sequence[Card]) -> tuple[Card | None, str]:
    """The card to use of several, and why: best tier, then most memory, newest, most free, lowest number."""
    if not cards:
        return None, "There is no card that can be used."
    ranked = sorted(cards, key=_rank)
    best = ranked[0]
    if len(ranked) == 1:
        return best, f"{best.spec} is the only card that can be used."
    other = ranked[1]
    return (
        best,
        f"{best.spec} of {len(ranked)}, {best.name} before {other.name}: {_difference(best, other)}.",
    )


def _rank(card: Card) -> tuple[float, ...]:
    major, minor = card.compute or (0, 0)
    free = card.total_bytes - card.used_bytes
    return (-TIERS.index(classify(card)[0]), -sold_as(card.total_bytes), -major, -minor, -free, card.index)


def _difference(best: Card, other: Card) -> str:
    tiers = classify(best)[0], classify(other)[0]
    if tiers[0] != tiers[1]:
        return f"{tiers[0]} rather than {tiers[1]}"
    if sold_as(best.total_bytes) != sold_as(other.total_bytes):
        return f"{_gb(sold_as(best.total_bytes))} rather than {_gb(sold_as(other.total_bytes))}"
    if best.compute != other.compute:
        return f"the newer of two alike ({_dotted(best.compute)} and {_dotted(other.compute)})"
    free = best.total_bytes - best.used_bytes, other.total_bytes - other.used_bytes
    if free[0] != free[1]:
        return f"{format_bytes(free[0])} free rather than {format_bytes(free[1])}"
    return "alike in everything, so the lower number"


def _gb(size: float) -> str:
    return f"{size:g} GB"


def _dotted(compute: tuple[int, int] | None) -> str:
    return "unknown" if compute is None else f"{compute[0]}.{compute[1]}"


def _compute(compute: tuple[int, int] | None) -> str:
    return "" if compute is None else f" and compute capability {_dotted(compute)}"
