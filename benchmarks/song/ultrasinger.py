"""UltraSinger's published method written anew, as the peer our notes are measured against. It gets our separation, words and pitch.

Its steps after words and pitch: silence trimmed from the words, syllables of equal length, each split into sixteenths, each
sixteenth the commonest note of its confident frames, moved into the estimated key, equal neighbours and short slides merged, beats
of start and length rounded one by one. Not its separation, denoising and recognition: both sides are given the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import librosa
import numpy as np
import pyphen

from pipelines.schema.values import Audio, Contour, Note, Word, Words

_CONFIDENT, _SILENCE_DB, _SILENCE_SECONDS = 0.4, -50.0, 0.05
_MAJOR, _MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
_SLIDE_SEMITONES, _SLIDE_SIXTEENTHS, _HIGHEST_BPM = 2, 2, 400.0


@dataclass(frozen=True)
class Piece:
    """A stretch of a word; `text` is `~` where it goes on."""

    start: float
    end: float
    text: str
    midi: int = 60


def ultrasinger(words: Words, contour: Contour, vocals: Audio, mix: Audio) -> list[Note]:
    """Its notes as its own song file would give them back."""
    sound = librosa.resample(mix.mono(), orig_sr=mix.rate, target_sr=22050)
    bpm = float(np.atleast_1d(librosa.feature.tempo(y=sound, sr=22050))[0])
    allowed = _key(sound[: 22050 * 60])
    spoken = [part for word in words.words for part in _sounding(word, vocals)]
    pieces = [piece for word in spoken for piece in _sixteenths(_syllables(word, words.language), bpm)]
    pitched = [replace(piece, midi=_commonest(piece, contour, allowed)) for piece in pieces]
    return _rounded(_merged(pitched, bpm), bpm)


def _key(sound: np.ndarray) -> set[int]:
    """Pitch classes of the key whose scale template the mean chroma fits best."""
    chroma = librosa.feature.chroma_cqt(y=sound, sr=22050).mean(axis=1)
    scales = [{(tonic + step) % 12 for step in steps} for steps in (_MAJOR, _MINOR) for tonic in range(12)]
    return max(scales, key=lambda scale: float(np.corrcoef([c in scale for c in range(12)], chroma)[0, 1]))


def _sounding(word: Word, vocals: Audio) -> list[Word]:
    """The word without its silence; in two where silence parts it."""
    first = int(word.start * vocals.rate)
    sound = vocals.read(first, int(word.end * vocals.rate)).mean(axis=0)
    step = max(int(0.01 * vocals.rate), 1)
    levels = [20 * np.log10(np.sqrt(np.mean(sound[i : i + step] ** 2)) + 1e-9) for i in range(0, len(sound), step)]
    runs: list[list[int]] = []
    for index in (i for i, level in enumerate(levels) if level > _SILENCE_DB):
        if runs and index - runs[-1][1] <= _SILENCE_SECONDS / 0.01:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    texts = [word.text, *["~"] * len(runs)]
    return [
        Word(text, word.start + a * 0.01, min(word.start + (b + 1) * 0.01, word.end))
        for text, (a, b) in zip(texts, runs, strict=False)
    ]


def _syllables(word: Word, language: str) -> list[Piece]:
    """Syllables that share the word's time evenly."""
    name = pyphen.language_fallback({"en": "en_US"}.get(language, language)) or "en_US"
    parts = pyphen.Pyphen(lang=name).inserted(word.text, hyphen="\u00ad").split("\u00ad")
    edges = np.linspace(word.start, word.end, len(parts) + 1)
    return [Piece(float(a), float(b), text) for a, b, text in zip(edges, edges[1:], parts, strict=False)]


def _sixteenths(syllables: Sequence[Piece], bpm: float) -> list[Piece]:
    length = 60 / bpm / 4
    pieces = []
    for syllable in syllables:
        starts = np.arange(syllable.start, syllable.end - 1e-9, length)
        for index, start in enumerate(starts):
            text = "~" if index else syllable.text
            pieces.append(Piece(float(start), min(float(start) + length, syllable.end), text))
    return pieces


def _commonest(piece: Piece, contour: Contour, allowed: set[int]) -> int:
    """The commonest note of the confident frames (of all, where none is), moved to the nearest one in the key."""
    inside = (contour.times >= piece.start) & (contour.times <= piece.end)
    if not inside.any():
        inside = np.arange(len(contour.times)) == int(np.argmin(np.abs(contour.times - piece.start)))
    sure = inside & (contour.confidence > _CONFIDENT)
    chosen = contour.hertz[sure if sure.any() else inside]
    note = Counter(np.rint(librosa.hz_to_midi(chosen)).astype(int).tolist()).most_common(1)[0][0]
    return min(range(note - 2, note + 3), key=lambda n: (n % 12 not in allowed, abs(n - note)))


def _merged(pieces: Sequence[Piece], bpm: float) -> list[Piece]:
    """Continuations joined to the piece before: of the same note, or a short slide to a neighbouring one."""
    short = _SLIDE_SIXTEENTHS * 60 / bpm / 4
    merged: list[Piece] = []
    for piece in pieces:
        before = merged[-1] if merged else None
        if before and piece.text == "~" and piece.start - before.end < 1e-3:
            slide = abs(piece.midi - before.midi) <= _SLIDE_SEMITONES and piece.end - piece.start <= short
            if piece.midi == before.midi or (slide and before.end - before.start <= short):
                merged[-1] = replace(before, end=piece.end)
                continue
        merged.append(piece)
    return merged


def _rounded(pieces: Sequence[Piece], bpm: float) -> list[Note]:
    """As beats from the first note's start, start and length rounded each for itself, and back in seconds."""
    if not pieces:
        return []
    multiple = max(int((_HIGHEST_BPM - 1e-9) / (bpm / 4)), 1)
    written = round(bpm / 4 * multiple, 2)
    beat, gap = 60 / (4 * written), int(pieces[0].start * 1000) / 1000
    notes = []
    for piece in pieces:
        start, length = round((piece.start - gap) / beat), round((piece.end - piece.start) / beat)
        if length > 0:
            notes.append(Note(gap + start * beat, gap + (start + length) * beat, piece.midi, piece.text))
    return notes
