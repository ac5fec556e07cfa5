"""What the notes are set in: tempo, key and phrases. Nothing here moves or changes a note."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from nodes.notes.syllables import HELD
from pipelines.schema.values import Audio, Note

_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
#: Krumhansl and Kessler's probe-tone ratings (1982): how well each degree fits a key, from its tonic up.
_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
_TEMPO_SECONDS, _TEMPO_RATE, _DEFAULT_BPM = 90.0, 11025, 120.0
_BREATHS, _LONG_PHRASE, _PAUSE = (0.25, 0.5), 7.0, 1.0


def tempo(audio: Audio) -> float:
    """Quarter notes a minute, told by librosa from at most 90 s in the middle of the audio; 120 where nothing beats."""
    import soxr
    from librosa import feature
    from librosa.onset import onset_strength

    wanted = min(audio.frames, int(_TEMPO_SECONDS * audio.rate))
    start = (audio.frames - wanted) // 2
    sound = np.nan_to_num(audio.read(start, start + wanted).mean(axis=0))
    sound = soxr.resample(sound, audio.rate, _TEMPO_RATE)
    if len(sound) < _TEMPO_RATE or float(np.abs(sound).max()) < 1e-4:
        return _DEFAULT_BPM
    strength = onset_strength(y=sound, sr=_TEMPO_RATE, hop_length=128)
    found = float(np.atleast_1d(feature.tempo(onset_envelope=strength, sr=_TEMPO_RATE, hop_length=128))[0])
    return round(found, 2) if np.isfinite(found) and 20 <= found <= 400 else _DEFAULT_BPM


def key(notes: Sequence[Note]) -> str:
    """The key whose profile the notes' durations correlate with most, like `A minor`; "" without notes.

    >>> key([Note(i, i + 1, midi) for i, midi in enumerate((60, 62, 64, 65, 67, 69, 71, 72, 67, 64, 60))])
    'C major'
    """
    if not notes:
        return ""
    held = np.zeros(12)
    for note in notes:
        held[note.midi % 12] += note.end - note.start
    fits = {
        f"{_NAMES[tonic]} {mode}": float(np.corrcoef(np.roll(profile, tonic), held)[0, 1])
        for mode, profile in (("major", _MAJOR), ("minor", _MINOR))
        for tonic in range(12)
    }
    return max(fits, key=fits.__getitem__) if held.std() > 0 else ""


def breaks(notes: Sequence[Note]) -> tuple[int, ...]:
    """The notes that begin a new phrase: after a breath that is long for this song, and again where a phrase would grow too long
    to read, at its longest gap before a word."""
    gaps = np.array([after.start - before.end for before, after in itertools.pairwise(notes)])
    if not len(gaps):
        return ()
    threshold = float(np.clip(1.5 * np.median(gaps), *_BREATHS))
    found = [i + 1 for i, gap in enumerate(gaps) if gap >= _PAUSE or (gap >= threshold and notes[i + 1].text != HELD)]
    edges = [0, *found, len(notes)]
    for first, last in itertools.pairwise(edges):
        found += _shortened(notes, gaps, first, last)
    return tuple(sorted(found))


def _shortened(notes: Sequence[Note], gaps: np.ndarray, first: int, last: int) -> list[int]:
    """Breaks inside one phrase [first, last) that make each part at most `_LONG_PHRASE` seconds, where words allow it."""
    if notes[last - 1].end - notes[first].start <= _LONG_PHRASE:
        return []
    places = [i for i in range(first + 3, last - 2) if notes[i].text.startswith(" ")]
    if not places:
        return []
    middle, half = (first + last) / 2, (last - first) / 2
    best = max(places, key=lambda i: gaps[i - 1] + 0.5 * (1 - abs(i - middle) / half))
    return [*_shortened(notes, gaps, first, best), best, *_shortened(notes, gaps, best, last)]
