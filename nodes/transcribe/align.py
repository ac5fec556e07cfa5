"""Given words laid over sound, by a decoder that was trained on speech.

A window moves along the sound. In each as many of the next words are laid as fit, and those well before its end are kept; the
window is short because the decoder's scores are 32-bit integers that a long one overflows. Sung vowels last several times
longer than spoken ones, so it is done at several frame rates (a slower one makes a held vowel look spoken), and each word
takes the median of its times: one attempt that lost its way moves nothing. A vowel held very long is taken for silence; so
a word begins where the loud sound that leads into it does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nodes.transcribe.spelling import Sung, pronounce
from nodes.transcribe.stretches import FRAME, Stretch, Tape, levels
from pipelines.schema.node import Context
from pipelines.schema.values import Word

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Frames a second; the model was trained at 100.
FRAME_RATE, _SLOWER = 100, (72, 66, 60, 57)
#: Seconds of a window, and how much of it before its end is not believed yet.
_WINDOW, _UNSURE = 12.0, 4.0
#: How unlikely a path may become before it is given up: wide enough for a vowel of three seconds.
_BEAM = 1e-80
#: A frame is loud above this share of the window's loud parts.
_LOUD = 0.12
#: Nobody sings more words a second for long.
_FASTEST = 5.0
#: Attempts this near to the median, in seconds, agree with it.
_AGREE = 0.15


@dataclass(frozen=True, slots=True)
class Piece:
    """One word as the decoder found it; seconds of what it was given. sure: 0..1."""

    word: str
    start: float
    end: float
    sure: float


def align(
    decoder: Any, tape: Tape, sounding: Sequence[Stretch], lyrics: Sequence[Sung], context: Context
) -> Iterator[Word]:
    """Each of `lyrics` with its times and the share of attempts that agree on them; none where nothing sounds.

    Words that the sound ends before are left out, with a warning.
    """
    names = [pronounce(decoder, word) for word in lyrics]
    end, at, done = (sounding[-1].end, sounding[0].start, 0) if sounding else (0.0, 0.0, 0)
    while done < len(names) and at < end:
        last = end - at <= _WINDOW
        stop = end if last else at + _WINDOW
        offered = names[done:] if last else names[done : done + int(_WINDOW * _FASTEST)]
        attempts = _attempts(decoder, tape.pcm(at, stop), offered, whole=last)
        found = _agreed(attempts, 1 if last else len(attempts) // 2)
        kept = found if last else [piece for piece in found if piece.end <= stop - at - _UNSURE]
        for piece, word in zip(kept, lyrics[done:], strict=False):
            yield Word(word.text, at + piece.start, at + piece.end, piece.sure)
        done += len(kept)
        context.progress(min(done / len(names), 1.0), "aligning")
        at = end if last else at + (kept[-1].end if kept else _WINDOW - _UNSURE)
    if done < len(names):
        context.warn(
            f"{len(names) - done} words of the lyrics, from {lyrics[done].text!r} on, were not found in {context.item}."
        )


def _attempts(decoder: Any, pcm: bytes, names: Sequence[str], *, whole: bool) -> list[list[Piece]]:
    """The first of `names` that fit into the sound (all of them where `whole`), at each frame rate."""
    end = len(names)
    moves: list[tuple[Any, ...]] = [(i, i + 1, 1.0, name) for i, name in enumerate(names)]
    if not whole:
        moves += [(i, end, 1.0) for i in range(end)]
    for beam, width in (("beam", _BEAM), ("pbeam", _BEAM), ("wbeam", _BEAM**0.75)):
        decoder.config[beam] = width
    decoder.add_fsg("lyrics", decoder.create_fsg("lyrics", 0, end, moves))
    decoder.activate_search("lyrics")
    loud = _loud(pcm)
    return [_led_into(decoded(decoder, pcm, rate), loud) for rate in _SLOWER]


def _loud(pcm: bytes) -> NDArray[np.bool_]:
    """Whether each frame of `FRAME` seconds is."""
    import numpy as np

    level = levels([np.frombuffer(pcm, np.int16).astype(np.float32)])
    smooth = np.convolve(level, np.ones(5) / 5, "same")[: len(level)]
    loud: NDArray[np.bool_] = smooth > _LOUD * np.quantile(smooth, 0.95) if len(smooth) else smooth > 0
    return loud


def _led_into(pieces: Sequence[Piece], loud: NDArray[np.bool_]) -> list[Piece]:
    """Each word begun as early as the sound is loud without a break, but not before the last one's end."""
    found: list[Piece] = []
    for piece in pieces:
        first = at = min(round(piece.start / FRAME), len(loud))
        least = round(found[-1].end / FRAME) if found else 0
        while at > least and loud[at - 1]:
            at -= 1
        found.append(replace(piece, start=at * FRAME) if at < first else piece)
    return found


def _agreed(attempts: list[list[Piece]], least: int) -> list[Piece]:
    """Word by word the median of the attempts that got so far, while at least `least` did; ascending."""
    import numpy as np

    agreed: list[Piece] = []
    for index in range(max(map(len, attempts))):
        found = [attempt[index] for attempt in attempts if index < len(attempt)]
        if len(found) < least:
            break
        before = agreed[-1].end if agreed else 0.0
        start = max(float(np.median([piece.start for piece in found])), before)
        end = max(float(np.median([piece.end for piece in found])), start)
        near = sum(abs(piece.start - start) <= _AGREE for piece in found)
        agreed.append(Piece(found[0].word, start, end, near / len(attempts)))
    return agreed


def decoded(decoder: Any, pcm: bytes, rate: int = FRAME_RATE) -> list[Piece]:
    """The words that the decoder's active search finds, fillers left out."""
    decoder.config["frate"] = rate
    decoder.reinit_feat(decoder.config)  # even for the same rate: it forgets the noise it believes to have heard before
    decoder.start_utt()
    decoder.process_raw(pcm, no_search=False, full_utt=True)
    decoder.end_utt()
    return [
        Piece(s.word.partition("(")[0], s.start_frame / rate, (s.end_frame + 1) / rate, min(s.prob, 1.0))
        for s in decoder.seg() or ()
        if s.word[0] not in "<[+("
    ]
