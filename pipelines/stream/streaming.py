"""Carries chunks from node to node: pull by pull, with nothing running ahead unasked.

A chain of nodes is a chain of generators, so a consumer that stops reading stops everything, and closing the last closes them all.
Where making should run ahead of hearing, `pipe.Pipe` puts one thread and a bounded queue between.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pipelines.schema.node import Context, Inputs, Node, Outputs, PieceNode, StreamNode
from pipelines.schema.values import Audio, Value
from pipelines.stream.piecewise import Pieces, piecewise
from pipelines.stream.pipe import close
from pipelines.worker.client import Isolated

#: Pieces of a node's first output; what the generator returns at its end are the others.
Chunks = Generator[Value, None, Outputs]
#: The first piece of a node that knows only whole sounds: long enough to be heard as speech, soon enough not to be waited for.
FIRST_PIECE = 1.0


@dataclass(frozen=True, slots=True)
class Stage:
    """One node of a chain, with what it needs to run. main: the input port that takes the chunks of the stage before.

    pieces: how to cut the sound for a node that cannot stream but gives as much sound as it takes; None waits for all of it.
    """

    node: Node
    model: Any
    inputs: Inputs
    context: Context
    main: str = "audio"
    pieces: Pieces | None = None


def begins(node: object) -> bool:
    """Whether a node can be the first of a chain."""
    return isinstance(_itself(node), StreamNode)


def follows(node: object) -> bool:
    """Whether a node can take its sound while it is being made."""
    return isinstance(_itself(node), StreamNode | PieceNode)


def pieces_for(node: object) -> Pieces | None:
    """How to cut the sound for a node that cannot stream; None for one that can, or that needs all of it."""
    known = _itself(node)
    if isinstance(known, StreamNode) or not isinstance(known, PieceNode):
        return None
    return Pieces(first=FIRST_PIECE, reach=known.hears)


def _itself(node: object) -> object:
    """A node in a process of its own can do what it could do here."""
    return node.node if isinstance(node, Isolated) else node


def _as_it_is(index: int, chunks: Chunks) -> Iterator[Value]:
    return chunks


def chain(
    stages: Sequence[Stage],
    chunks: Iterator[Value] | None = None,
    each: Callable[[int, Chunks], Iterator[Value]] = _as_it_is,
) -> Iterator[Value]:
    """Chunks of the last stage's first output. Nothing is computed before it is asked for; close the iterator to stop early.

    A stage whose node cannot stream works in `pieces` where it may, else takes all of its input first and gives one piece.
    each: is given every stage's chunks by its index and says what the next one takes; it may look at them as they pass.
    """
    for index, stage in enumerate(stages):
        chunks = each(index, _chunks_of(stage, chunks))
    if chunks is None:
        raise ValueError("A chain needs a stage or chunks to begin with.")
    return chunks


def _chunks_of(stage: Stage, chunks: Iterator[Value] | None) -> Chunks:
    if begins(stage.node):
        return _streamed(stage, cast("StreamNode", stage.node), chunks)
    if stage.pieces is not None and chunks is not None:
        return _in_pieces(stage, stage.pieces, chunks)
    return _whole(stage, chunks)


def _streamed(stage: Stage, node: StreamNode, chunks: Iterator[Value] | None) -> Chunks:
    made = node.stream(stage.model, stage.inputs, chunks, stage.context)
    try:
        while True:
            try:
                piece = next(made)
            except StopIteration as ended:
                return ended.value or {}
            stage.context.progress(0.0)
            yield piece
    finally:
        close(made)
        close(chunks)


def _in_pieces(stage: Stage, how: Pieces, chunks: Iterator[Value]) -> Chunks:
    def convert(piece: Audio) -> Audio:
        stage.context.progress(0.0)
        made = next(iter(stage.node.run(stage.model, {**stage.inputs, stage.main: piece}, stage.context).values()))
        assert isinstance(made, Audio)
        return made

    try:
        yield from piecewise(convert, (chunk for chunk in chunks if isinstance(chunk, Audio)), how)
        return {}
    finally:
        close(chunks)


def _whole(stage: Stage, chunks: Iterator[Value] | None) -> Chunks:
    inputs = dict(stage.inputs)
    if chunks is not None:
        inputs[stage.main] = join_audio(chunk for chunk in chunks if isinstance(chunk, Audio))
    outputs = dict(stage.node.run(stage.model, inputs, stage.context))
    yield outputs.pop(next(iter(outputs)))
    return outputs


def join_audio(chunks: Iterable[Audio]) -> Audio:
    """Chunks of one rate as one. No chunk at all is silence of no length at 24 kHz. Raises `ValueError` where rates differ."""
    import numpy as np

    pieces = list(chunks)
    if not pieces:
        return Audio.of(np.zeros((1, 0), np.float32), 24_000)
    rates = {piece.rate for piece in pieces}
    if len(rates) > 1:
        raise ValueError(f"Chunks of different sample rates cannot be joined: {sorted(rates)} Hz.")
    return Audio.of(np.concatenate([piece.read() for piece in pieces], axis=1), rates.pop())
