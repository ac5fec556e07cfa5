"""The stages of a chain: each node as a generator of chunks, made from the chunks of the node before it. Writes no files.

Work is done only when the next chunk is requested, in one thread. A consumer that stops reading stops the whole chain, and closing
the last generator closes all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pipelines.schema.node import Context, Inputs, Node, Outputs, PieceNode, StreamNode, close_iterator
from pipelines.schema.values import Audio, Value
from pipelines.stream.piecewise import Pieces, piecewise
from pipelines.worker.client import IsolatedNode

#: Yields the pieces of a node's first output, and returns its other outputs at the end.
Chunks = Generator[Value, None, Outputs]
#: Seconds of the first piece for a node that knows only whole sounds: long enough to be speech, short enough to come soon.
FIRST_PIECE = 1.0


@dataclass(frozen=True, slots=True)
class Stage:
    """One node of a chain, with what it needs to run. main: the input port that takes the chunks of the stage before.

    pieces: how to cut the sound for a node that cannot stream but gives as many seconds as it takes; with None, such a node
    waits for the whole sound.
    """

    node: Node
    model: Any
    inputs: Inputs
    context: Context
    main: str = "audio"
    pieces: Pieces | None = None


def can_start_chain(node: object) -> bool:
    """Whether a node can give its sound piece by piece, and so be the first of a chain."""
    return isinstance(_behind(node), StreamNode)


def can_continue_chain(node: object) -> bool:
    """Whether a node can take its sound piece by piece, while the node before it makes it."""
    return isinstance(_behind(node), StreamNode | PieceNode)


def pieces_for(node: object) -> Pieces | None:
    """How to cut the sound for a node that cannot stream; None for one that can, or that needs the whole sound."""
    known = _behind(node)
    if isinstance(known, StreamNode) or not isinstance(known, PieceNode):
        return None
    return Pieces(first=FIRST_PIECE, reach=known.hears)


def _behind(node: object) -> object:
    """The node itself where it runs in a process of its own: it can do there what it could do here."""
    return node.node if isinstance(node, IsolatedNode) else node


def _unchanged(index: int, chunks: Chunks) -> Iterator[Value]:
    return chunks


def chain(
    stages: Sequence[Stage],
    chunks: Iterator[Value] | None = None,
    each: Callable[[int, Chunks], Iterator[Value]] = _unchanged,
) -> Iterator[Value]:
    """The chunks of the last stage's first output. Nothing is computed before it is requested; close the iterator to stop early.

    A stage whose node cannot stream works in `pieces` where it has them, else takes its whole input first and gives one piece.
    each: called with the index and the chunks of every stage; what it returns is what the next stage takes. It may read along.
    """
    for index, stage in enumerate(stages):
        chunks = each(index, _chunks_of(stage, chunks))
    if chunks is None:
        raise ValueError("A chain needs a stage or chunks to begin with.")
    return chunks


def _chunks_of(stage: Stage, chunks: Iterator[Value] | None) -> Chunks:
    if can_start_chain(stage.node):
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
        close_iterator(made)
        close_iterator(chunks)


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
        close_iterator(chunks)


def _whole(stage: Stage, chunks: Iterator[Value] | None) -> Chunks:
    inputs = dict(stage.inputs)
    if chunks is not None:
        inputs[stage.main] = join_audio(chunk for chunk in chunks if isinstance(chunk, Audio))
    outputs = dict(stage.node.run(stage.model, inputs, stage.context))
    yield outputs.pop(next(iter(outputs)))
    return outputs


def join_audio(chunks: Iterable[Audio]) -> Audio:
    """Chunks of one rate joined. No chunk at all gives an empty sound at 24 kHz. Raises `ValueError` where rates differ."""
    import numpy as np

    pieces = list(chunks)
    if not pieces:
        return Audio.of(np.zeros((1, 0), np.float32), 24_000)
    rates = {piece.rate for piece in pieces}
    if len(rates) > 1:
        raise ValueError(f"Chunks of different sample rates cannot be joined: {sorted(rates)} Hz.")
    return Audio.of(np.concatenate([piece.read() for piece in pieces], axis=1), rates.pop())
