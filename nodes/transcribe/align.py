"""Given words laid over sound: a window moves along, in each as many of the next words as fit, of which the safe ones are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nodes.transcribe.spelling import Sung, pronounce
from nodes.transcribe.stretches import FRAME, Stretch, Tape
from pipelines.schema.node import Context
from pipelines.schema.values import Word

#: Seconds of a window, and how much of it before its end is not believed yet.
_WINDOW, _UNSURE = 10.0, 3.0
#: Nobody sings more words a second for long.
_FASTEST = 5.0


@dataclass(frozen=True, slots=True)
class Piece:
    """One word as the decoder found it; seconds of what it was given. posterior: in the decoder's logarithms."""

    word: str
    start: float
    end: float
    posterior: int


def align(
    decoder: Any, tape: Tape, sounding: Sequence[Stretch], lyrics: Sequence[Sung], context: Context
) -> Iterator[Word]:
    """Each of `lyrics` with its times and a confidence; none where nothing sounds."""
    if not sounding:
        return
    names = [pronounce(decoder, word) for word in lyrics]
    end, at, done = sounding[-1].end, sounding[0].start, 0
    while done < len(names) and at < end:
        last = end - at <= _WINDOW
        stop = end if last else at + _WINDOW
        offered = names[done:] if last else names[done : done + int(_WINDOW * _FASTEST)]
        found = in_window(decoder, tape.pcm(at, stop), offered, whole=last)
        kept = found if last else [piece for piece in found if piece.end <= stop - at - _UNSURE]
        for piece, word in zip(kept, lyrics[done:], strict=False):
            yield Word(word.text, at + piece.start, at + piece.end)
        done += len(kept)
        context.progress(min(done / len(names), 1.0), "aligning")
        at = end if last else at + (kept[-1].end if kept else _WINDOW - _UNSURE)


def in_window(decoder: Any, pcm: bytes, names: Sequence[str], *, whole: bool) -> list[Piece]:
    """The first of `names` that fit into the sound; all of them where `whole`."""
    end = len(names)
    moves: list[tuple[Any, ...]] = [(i, i + 1, 1.0, name) for i, name in enumerate(names)]
    if not whole:
        moves += [(i, end, 1.0) for i in range(end)]
    decoder.add_fsg("lyrics", decoder.create_fsg("lyrics", 0, end, moves))
    decoder.activate_search("lyrics")
    return decoded(decoder, pcm)


def decoded(decoder: Any, pcm: bytes) -> list[Piece]:
    """The words that the decoder's active search finds, fillers left out."""
    decoder.start_utt()
    decoder.process_raw(pcm, no_search=False, full_utt=True)
    decoder.end_utt()
    return [
        Piece(s.word.partition("(")[0], s.start_frame * FRAME, (s.end_frame + 1) * FRAME, s.prob)
        for s in decoder.seg() or ()
        if s.word[0] not in "<[+("
    ]
