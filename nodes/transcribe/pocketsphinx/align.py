"""Aligns given words with sound: the likeliest path through their phones, as a singer says them and not as a speaker does.

A speaker's silence is unlike any phone, and phones last some hundredths of a second; decoders that were trained on speech hold a
long vowel for silence. Here silence is what is not loud, vowels are held at no cost, and consonants at a high one.
The way is sought through all of the sound at once: it may go wrong in a verse, but it comes right again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nodes.transcribe.pocketsphinx.acoustics import PHONES, RATE, STATES, Listener
from nodes.transcribe.pocketsphinx.spelling import Sung, pronounce
from nodes.transcribe.pocketsphinx.viterbi import Chain, path
from nodes.transcribe.stretches import FRAME, PcmReader, Stretch
from pipelines.schema.node import Context
from pipelines.schema.values import Word

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipelines.schema.values import Samples

#: Seconds scored at once, which the library logs in 20 MB.
_BLOCK = 20.0
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
    """A word of the lyrics, by its place among them; frames [first, end). confidence: 0..1, how well its sound is explained."""

    index: int
    first: int
    end: int
    confidence: float


def align(
    decoder: Any,
    reader: PcmReader,
    level: Samples,
    sounding: Sequence[Stretch],
    lyrics: Sequence[Sung],
    context: Context,
) -> Iterator[Word]:
    """Each of `lyrics` with its times; none where nothing sounds.

    level: of every `FRAME` of the whole sound. Words for which there is no room are left out, with a warning.
    """
    phones = [str(decoder.lookup_word(pronounce(decoder, word))).split() for word in lyrics]
    times, scores = _scores(reader, _loud(level), sounding, context)
    found = _placed(phones, scores) if len(times) else []
    for word in found:
        begin, end = times[word.first], times[word.end - 1] + 1 / RATE
        yield Word(lyrics[word.index].text, float(begin), float(end), word.confidence)
    if len(found) < len(phones):
        context.warn(
            f"{len(phones) - len(found)} words of the lyrics, from {lyrics[len(found)].text!r} on, "
            f"were not found in {context.item}."
        )


def _loud(level: Samples) -> NDArray[np.bool_]:
    """Whether each frame of the sound is."""
    smooth = np.convolve(level, np.ones(5) / 5, "same")[: len(level)]
    loud: NDArray[np.bool_] = smooth > (_LOUD * np.quantile(smooth, 0.95) if len(smooth) else 0)
    return loud


def _scores(
    reader: PcmReader, loud: NDArray[np.bool_], sounding: Sequence[Stretch], context: Context
) -> tuple[NDArray[np.float64], Samples]:
    """The second at which each frame of `sounding` begins, and [frames, states of the phones and silence]: nats <= 0."""
    times, parts = [np.zeros(0)], [np.zeros((0, _SILENCE + 1), np.float32)]
    start, end = (sounding[0].start, sounding[-1].end) if sounding else (0.0, 0.0)
    with tempfile.TemporaryDirectory(prefix="headroom-") as log:
        listener = Listener(Path(log))
        while start < end:
            stop = end if end - start < 1.5 * _BLOCK else start + _BLOCK
            by_phone = listener.scores(reader.pcm(start, stop))
            at = start + np.arange(len(by_phone)) / RATE
            silence = np.where(loud[np.minimum(np.rint(at / FRAME).astype(int), len(loud) - 1)], -_LOUD_SILENCE, 0.0)
            inside = _inside(at, sounding)
            times.append(at[inside])
            parts.append(np.column_stack([by_phone, silence.astype(np.float32)])[inside])
            context.progress(stop / end, "listening")
            start = stop
    return np.concatenate(times), np.concatenate(parts)


def _inside(times: NDArray[np.float64], sounding: Sequence[Stretch]) -> NDArray[np.bool_]:
    """Which of `times` lie in a stretch; these are in order and do not overlap."""
    ends = np.array([stretch.end for stretch in sounding])
    at = np.minimum(np.searchsorted(ends, times, "right"), len(ends) - 1)
    return (np.array([stretch.start for stretch in sounding])[at] <= times) & (times < ends[at])


def _placed(words: Sequence[Sequence[str]], scores: Samples) -> list[_Found]:
    """`words` (phones each) where they lie in the sound; the first of them where there is no room for all."""
    chain, owner = _chain(words)
    states = path(chain, scores)
    word_of = owner[states]
    confidence = np.exp(scores[np.arange(len(states)), chain.column[states]])
    found = []
    for index in range(int(word_of.max(initial=-1)) + 1):
        frames = np.flatnonzero(word_of == index)
        found.append(_Found(index, int(frames[0]), int(frames[-1]) + 1, float(confidence[frames].mean())))
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
