"""The contract between the engine and a node: what a node states about itself and what it is given when it works.

A node object holds settings only. Its weights live in the object that `load` returns, which the engine keeps while the
plan says the model is resident and hands to `run`. So one loaded model serves every item, and the plan owns residency.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from pipelines.schema.errors import Interrupted
from pipelines.schema.values import Value

Inputs = Mapping[str, Value]
Outputs = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Port:
    """One named input or output. `type` is a key of `values.PORTS`. A missing optional input is absent from `inputs`."""

    type: str
    about: str = ""
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model is loaded, and from what.

    Attributes
    ----------
    device : torch's name of it (`cpu`, `cuda:0`).
    weights : the folder or file of its weights; None for a model that its library ships, or that has none.
    """

    device: str = "cpu"
    weights: Path | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What one task is given besides its inputs.

    Attributes
    ----------
    item : name of the item.
    folder : the task's own artifact folder. Files a node writes go there and nowhere else.
    settings : the item's settings (text, voice, language, lyrics, ...): its row of a table over the run's own.
    device : torch's name of the device to compute on.
    seed : the task's own, derived from the run's.
    report : called with the fraction done (0..1) and a note; `progress` is the way to use it.
    cancelled : whether the run is to stop.
    warn : called with a sentence that the person should see.
    """

    item: str
    folder: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    device: str = "cpu"
    seed: int = 0
    report: Callable[[float, str], None] = lambda fraction, note: None
    cancelled: Callable[[], bool] = lambda: False
    warn: Callable[[str], None] = lambda sentence: None

    def progress(self, fraction: float, note: str = "") -> None:
        """Say that `fraction` (0..1) of the task is done. Also the place where a cancelled task stops (`Interrupted`)."""
        if self.cancelled():
            raise Interrupted(f"{self.item} was cancelled.")
        self.report(min(max(fraction, 0.0), 1.0), note)


@runtime_checkable
class Node(Protocol):
    """What every node class has. The constructor takes its `knobs` as keywords and does nothing heavy."""

    inputs: ClassVar[Mapping[str, Port]]
    outputs: ClassVar[Mapping[str, Port]]

    def load(self, place: Place) -> Any:
        """Put the weights on the device and return what `run` needs (None for a node without weights)."""

    def unload(self, model: Any) -> None:
        """Let go of everything `load` made, module globals of libraries included. The engine collects garbage after."""

    def run(self, model: Any, inputs: Inputs, context: Context) -> Outputs:
        """Do the work for one item. Pure but for files under `context.folder`. The same inputs give the same outputs."""


@runtime_checkable
class StreamNode(Protocol):
    """A node that can yield its first output in chunks, and take its first input in chunks.

    How the input is cut may change when the output comes, never what it is.
    """

    def stream(self, model: Any, inputs: Inputs, chunks: Iterator[Value] | None, context: Context) -> Iterator[Value]:
        """Yield chunks of the first output; joined, they equal what `run` returns.

        Parameters
        ----------
        chunks : the first input in chunks; None where `inputs` holds the whole of it.

        A first output that is not sound is yielded once, at the end. The generator *returns* the other outputs, if any.
        """


@runtime_checkable
class WholeSoundNode(Protocol):
    """A node that processes a whole sound into one of equal length, and may therefore be given a long one in overlapping pieces.

    The pieces are joined by a short cross-fade, so the result is close to that of one pass, not equal to it.
    """

    hears: ClassVar[float]
    """Seconds of sound that are given before and after each piece as context; their output is thrown away."""

    def run(self, model: Any, inputs: Inputs, context: Context) -> Outputs:
        """As `Node`."""


def close_iterator(iterator: object) -> None:
    """End a stream before its last chunk: a generator is closed, an iterator that cannot be closed is left as it is."""
    close = getattr(iterator, "close", None)
    if close is not None:
        close()


class Plain:
    """Base class for nodes without weights: nothing to load, nothing to unload."""

    def load(self, place: Place) -> None:
        """Nothing to load."""

    def unload(self, model: Any) -> None:
        """Nothing to unload."""
