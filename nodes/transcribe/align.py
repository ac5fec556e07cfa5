"""Given words laid over sound: the likeliest way through their phones, as a singer says them and not as a speaker does.

A speaker's silence is unlike any phone, and phones last some hundredths of a second; decoders that were trained on speech hold a
long vowel for silence. Here silence is what is not loud, vowels are held at no cost, and consonants at a high one.
Sound of any length is aligned in a window that moves along; the words well before its end are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nodes.transcribe.acoustics import PHONES, RATE, STATES, scores
from nodes.transcribe.spelling import Sung, pronounce
from nodes.transcribe.stretches import FRAME, Stretch, Tape
from nodes.transcribe.viterbi import Chain, path
from pipelines.schema.node import Context
from pipelines.schema.values import Word

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipelines.schema.values import Samples

#: Seconds of a window, and how much of it before its end is not believed yet.
_WINDOW, _UNSURE = 30.0, 8.0
#: Nobody sings more words a second for long.
_FASTEST = 5.0
#: A frame is loud above this share of the loud parts.
_LOUD = 0.12
#: Nats, tuned together on generated songs (seeds 20 to 59): silence, for a frame that is loud, and each time it begins;
#: each frame more of a consonant by its kind. Vowels are free.
_LOUD_SILENCE, _PAUSE = 8.0, 10.0
_HELD = {
    **dict.fromkeys(("P", "T", "K", "B", "D", "G", "CH", "JH"), 2.0),
    **dict.fromkeys(("DH", "F", "HH", "S", "SH", "TH", "V", "Z", "ZH"), 0.8),
    **dict.fromkeys(("M", "N", "NG", "L", "R", "W", "Y"), 0.3),
}
#: The column after those of the phones: silence by loudness.
_SILENCE = len(PHONES) * STATES


@dataclass(frozen=True, slots=True)
class _Found:
    """A word of the lyrics, by its place among them; frames [first, end). sure: 0..1, how well its sound is explained."""

    index: int
    first: int
    end: int
    sure: float


def align(
    decoder: Any,
    tape: Tape,
    level: Samples,
    sounding: Sequence[Stretch],
    lyrics: Sequence[Sung],
    context: Context,
) -> Iterator[Word]:
    """Each of `lyrics` with its times; none where nothing sounds.

    level: of every `FRAME` of the whole sound. Words that the sound ends before are left out, with a warning.
    """
    phones = [str(decoder.lookup_word(pronounce(decoder, word))).split() for word in lyrics]
    loud = _loud(level)
    end, at, done = (sounding[-1].end, sounding[0].start, 0) if sounding else (0.0, 0.0, 0)
    while done < len(phones) and at < end:
        last = end - at <= _WINDOW
        stop = end if last else at + _WINDOW
        offered = phones[done:] if last else phones[done : done + int(_WINDOW * _FASTEST)]
        found = _laid(offered, _explained(tape, loud, at, stop), whole=last)
        kept = found if last else [word for word in found if word.end <= (stop - at - _UNSURE) * RATE]
        for word in kept:
            yield Word(lyrics[done + word.index].text, at + word.first / RATE, at + word.end / RATE, word.sure)
        done += len(kept)
        context.progress(min(done / len(phones), 1.0), "aligning")
        at = end if last else at + (kept[-1].end / RATE if kept else _WINDOW - _UNSURE)
    if done < len(phones):
        context.warn(
            f"{len(phones) - done} words of the lyrics, from {lyrics[done].text!r} on, were not found in {context.item}."
        )


def _loud(level: Samples) -> NDArray[np.bool_]:
    """Whether each frame of the sound is."""
    smooth = np.convolve(level, np.ones(5) / 5, "same")[: len(level)]
    loud: NDArray[np.bool_] = smooth > (_LOUD * np.quantile(smooth, 0.95) if len(smooth) else 0)
    return loud


def _explained(tape: Tape, loud: NDArray[np.bool_], start: float, end: float) -> Samples:
    """[frames, states of the phones and silence]: how well each explains each frame; nats <= 0."""
    by_phone = scores(tape, start, end)
    at = np.minimum(round(start / FRAME) + np.arange(len(by_phone)), len(loud) - 1)
    silence = np.where(loud[at], np.float32(-_LOUD_SILENCE), np.float32(0))
    return np.concatenate([by_phone, silence[:, None]], axis=1)


def _laid(words: Sequence[Sequence[str]], explained: Samples, *, whole: bool) -> list[_Found]:
    """The first of `words` (phones each) that lie in the sound, all of them where `whole` and there is room."""
    if not len(explained):
        return []
    chain, owner = _chain(words)
    states = path(chain, explained, whole=whole)
    word_of = owner[states]
    sure = np.exp(explained[np.arange(len(states)), chain.column[states]])
    found = []
    for index in range(int(word_of.max(initial=-1)) + 1):
        frames = np.flatnonzero(word_of == index)
        found.append(_Found(index, int(frames[0]), int(frames[-1]) + 1, float(sure[frames].mean())))
    return found


def _chain(words: Sequence[Sequence[str]]) -> tuple[Chain, NDArray[np.int64]]:
    """Silence, then each word's phones and silence again; and the word of each state, -1 for silence."""
    column, stay, owner = [_SILENCE], [0.0], [-1]
    for index, phones in enumerate(words):
        for phone in phones:
            column += [PHONES.index(phone) * STATES + state for state in range(STATES)]
            stay += [-_HELD.get(phone, 0.0)] * STATES
            owner += [index] * STATES
        column.append(_SILENCE)
        stay.append(0.0)
        owner.append(-1)
    silent = np.array(column) == _SILENCE
    enter = np.where(silent, np.float32(-_PAUSE), np.float32(0))
    return Chain(np.array(column), np.array(stay, np.float32), enter, silent), np.array(owner)
