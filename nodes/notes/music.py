"""Tempo, key and phrases of a song. Nothing here moves or changes a note."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nodes.audio.reading import resampled
from pipelines.schema.values import Audio, Note

_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
#: Krumhansl and Kessler's probe-tone ratings (1982): how well each degree fits a key, from its tonic up.
_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
_TEMPO_SECONDS, _TEMPO_RATE, _DEFAULT_BPM = 30.0, 11025, 120.0
_BREATH, _PHRASE, _PAUSE = 0.46, 3.1, 1.0


def tempo(audio: Audio) -> float:
    """Quarter notes a minute, told by librosa from at most 30 s in the middle of the audio; 120 where nothing beats."""
    from librosa import feature
    from librosa.onset import onset_strength

    wanted = min(audio.frames, int(_TEMPO_SECONDS * audio.rate))
    start = (audio.frames - wanted) // 2
    sound = np.nan_to_num(audio.read(start, start + wanted).mean(axis=0))
    sound = resampled(sound, audio.rate, _TEMPO_RATE)
    if len(sound) < _TEMPO_RATE or float(np.abs(sound).max()) < 1e-4:
        return _DEFAULT_BPM
    strength = onset_strength(y=sound, sr=_TEMPO_RATE, n_fft=1024, hop_length=128)
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
    """The notes that begin a new phrase, by the cheapest way to part the song (weights tuned on sample seeds 0 to 19).

    A pause of a second always parts. Elsewhere a phrase begins with a word, the likelier the longer the silence and the note
    before it are (singers breathe after long notes), and lasts about `_PHRASE` seconds.
    """
    if not notes:
        return ()
    usual = float(np.median([n.end - n.start for n in notes]))
    cost, origin = [0.0], [0]
    for end in range(1, len(notes) + 1):
        ways = []
        for start in range(end - 1, -1, -1):
            ways.append(
                (
                    cost[start]
                    + _phrase_cost(notes[start].start, notes[end - 1].end)
                    + _break_cost(notes, start, usual),
                    start,
                )
            )
            if _must(notes, start) or notes[end - 1].end - notes[start].start > 4 * _PHRASE:
                break
        best, start = min(ways)
        cost.append(best)
        origin.append(start)
    found, at = [], len(notes)
    while at > 0:
        at = origin[at]
        found.append(at)
    return tuple(sorted(i for i in found if i))


def _must(notes: Sequence[Note], index: int) -> bool:
    return index > 0 and notes[index].start - notes[index - 1].end >= _PAUSE


def _phrase_cost(start: float, end: float) -> float:
    """Twice or half the usual length costs 2.4."""
    return 2.4 * float(np.log2(max(end - start, 0.2) / _PHRASE) ** 2)


def _break_cost(notes: Sequence[Note], index: int, usual: float) -> float:
    if index == 0 or _must(notes, index):
        return 0.0
    if not notes[index].text.startswith(" "):
        return 4.0
    silence = min(notes[index].start - notes[index - 1].end, _BREATH) / _BREATH
    length = min((notes[index - 1].end - notes[index - 1].start) / usual, 3.0) - 1
    return 1.5 - 1.3 * silence - 0.7 * length
