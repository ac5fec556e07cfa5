"""The nodes of a chain, each as a generator of chunks, made from the chunks of the node before it. Writes no files.

Work is done only when the next chunk is requested, in one thread. A consumer that stops reading stops the whole chain, and closing
the last generator closes all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pipelines.schema.node import Context, Inputs, Node, Outputs, StreamNode, WholeSoundNode, close_iterator
from pipelines.schema.values import Audio, Value
from pipelines.stream.piecewise import CutSettings, piecewise
from pipelines.worker.client import IsolatedNode

#: Yields the chunks of a node's first output, and returns its other outputs at the end.
Chunks = Generator[Value, None, Outputs]
#: Seconds of the first piece for a node that knows only whole sounds: long enough to be speech, short enough to come soon.
FIRST_PIECE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ChainNode:
    """One node of a chain, with what it needs to run. main: the input port that takes the chunks of the node before.

    cut: how to cut the sound for a node that cannot stream but gives as many seconds as it takes; with None, such a node
    waits for the whole sound.
    """

    node: Node
    model: Any
    inputs: Inputs
    context: Context
    main: str = "audio"
    cut: CutSettings | None = None


def can_start_chain(node: object) -> bool:
    """Whether a node can give its sound chunk by chunk, and so be the first of a chain."""
    return isinstance(_behind(node), StreamNode)


def can_continue_chain(node: object) -> bool:
    """Whether a node can take its sound chunk by chunk, while the node before it makes it."""
    return isinstance(_behind(node), StreamNode | WholeSoundNode)


def cut_settings_for(node: object) -> CutSettings | None:
    """How to cut the sound for a node that cannot stream; None for one that can, or that needs the whole sound."""
    known = _behind(node)
    if isinstance(known, StreamNode) or not isinstance(known, WholeSoundNode):
        return None
    return CutSettings(first=FIRST_PIECE_SECONDS, reach=known.hears)


def _behind(node: object) -> object:
    """The node itself where it runs in a process of its own: it can do there what it could do here."""
    return node.node if isinstance(node, IsolatedNode) else node


def _unchanged(index: int, chunks: Chunks) -> Iterator[Value]:
    return chunks


def chain(
    nodes: Sequence[ChainNode],
    chunks: Iterator[Value] | None = None,
    each: Callable[[int, Chunks], Iterator[Value]] = _unchanged,
) -> Iterator[Value]:
    """The chunks of the last node's first output. Nothing is computed before it is requested; close the iterator to stop early.

    A node that cannot stream is given pieces where `cut` says how, else its whole input at once; it then gives one chunk.
    each: called with the index and the chunks of every node; what it returns is what the next node takes. It may read along.
    """
    for index, chain_node in enumerate(nodes):
        chunks = each(index, _chunks_of(chain_node, chunks))
    if chunks is None:
        raise ValueError("A chain needs a node or chunks to begin with.")
    return chunks


def _chunks_of(chain_node: ChainNode, chunks: Iterator[Value] | None) -> Chunks:
    if can_start_chain(chain_node.node):
        return _streamed(chain_node, cast("StreamNode", chain_node.node), chunks)
    if chain_node.cut is not None and chunks is not None:
        return _in_pieces(chain_node, chain_node.cut, chunks)
    return _whole(chain_node, chunks)


def _streamed(chain_node: ChainNode, node: StreamNode, chunks: Iterator[Value] | None) -> Chunks:
    made = node.stream(chain_node.model, chain_node.inputs, chunks, chain_node.context)
    try:
        while True:
            try:
                chunk = next(made)
            except StopIteration as ended:
                return ended.value or {}
            chain_node.context.progress(0.0)
            yield chunk
    finally:
        close_iterator(made)
        close_iterator(chunks)


def _in_pieces(chain_node: ChainNode, how: CutSettings, chunks: Iterator[Value]) -> Chunks:
    def convert(piece: Audio) -> Audio:
        chain_node.context.progress(0.0)
        inputs = {**chain_node.inputs, chain_node.main: piece}
        made = next(iter(chain_node.node.run(chain_node.model, inputs, chain_node.context).values()))
        assert isinstance(made, Audio)
        return made

    try:
        yield from piecewise(convert, (chunk for chunk in chunks if isinstance(chunk, Audio)), how)
        return {}
    finally:
        close_iterator(chunks)


def _whole(chain_node: ChainNode, chunks: Iterator[Value] | None) -> Chunks:
    inputs = dict(chain_node.inputs)
    if chunks is not None:
        inputs[chain_node.main] = join_audio(chunk for chunk in chunks if isinstance(chunk, Audio))
    outputs = dict(chain_node.node.run(chain_node.model, inputs, chain_node.context))
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
