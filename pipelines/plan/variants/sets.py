"""The variants each node may use, and every set of them from the best down. Knows no bytes.

Quality of a set. Ranks of different roles cannot be added: a third-best separator is not worth three first-best
transcribers. So each node's variants are spread evenly by rank from 0 (its worst) to 1 (its best), equals sharing a
place, and a set's quality is the sum over its nodes.

    separate    center 0     htdemucs 0.5     htdemucs_ft 1
    transcribe  tiny 0       large 1                           {htdemucs, large} = 1.5 beats {htdemucs_ft, tiny} = 1
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipelines.schema.errors import InvalidError, did_you_mean

Variants = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Option:
    """A variant a node may use; `quality` is its rank within the role, higher is better."""

    variant: str
    quality: float


@dataclass(frozen=True, slots=True)
class FitNode:
    """A node with a choice. `pinned` names the one variant the user chose: the others are then never chosen."""

    name: str
    options: tuple[Option, ...]
    pinned: str | None = None

    @property
    def allowed(self) -> tuple[Option, ...]:
        """The options that may be chosen, best first; the order given decides between equals."""
        options = [option for option in self.options if self.pinned in (None, option.variant)]
        return tuple(sorted(options, key=lambda option: -option.quality))

    def quality(self, variant: str) -> float:
        """0 for the lowest rank among the options, 1 for the highest, evenly spread between."""
        ranks = sorted({option.quality for option in self.options})
        own = next(option.quality for option in self.options if option.variant == variant)
        return ranks.index(own) / (len(ranks) - 1) if len(ranks) > 1 else 1.0


def _allowed_options(node: FitNode) -> tuple[Option, ...]:
    if node.allowed:
        return node.allowed
    known = [option.variant for option in node.options]
    if node.pinned is None:
        raise InvalidError(f"Node {node.name} has no variant to choose from.")
    raise InvalidError(f"Node {node.name} is pinned to {node.pinned!r}. {did_you_mean(node.pinned, known)}")


def sets_from_best(nodes: Sequence[FitNode]) -> Iterator[tuple[float, Variants]]:
    """(quality, variants) of every set, best first; equals in the nodes' and options' order. Lazily.

    Raises `InvalidError` for a node with nothing to choose from.
    """
    allowed = [_allowed_options(node) for node in nodes]
    worths = [[node.quality(option.variant) for option in some] for node, some in zip(nodes, allowed, strict=True)]

    def quality(place: tuple[int, ...]) -> float:
        return round(sum(row[at] for row, at in zip(worths, place, strict=True)), 9)

    start = (0,) * len(nodes)
    queue, seen = [(-quality(start), start)], {start}
    while queue:
        negative, place = heapq.heappop(queue)
        chosen = [some[at].variant for some, at in zip(allowed, place, strict=True)]
        yield -negative, dict(zip((node.name for node in nodes), chosen, strict=True))
        for index, at in enumerate(place):
            lower = (*place[:index], at + 1, *place[index + 1 :])
            if at + 1 < len(allowed[index]) and lower not in seen:
                seen.add(lower)
                heapq.heappush(queue, (-quality(lower), lower))
