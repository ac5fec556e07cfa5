"""How near a song file is to what was sung, by mir_eval; and how near the words are."""

from __future__ import annotations

import re
from collections.abc import Sequence

import mir_eval
import numpy as np

from nodes.sample.sing import HOP
from nodes.sample.song import Truth
from pipelines.schema.values import Contour, Note, Word


def hertz(midi: Sequence[float]) -> np.ndarray:
    return 440.0 * 2 ** ((np.asarray(midi, dtype=float) - 69) / 12)


def notes_f1(detected: Sequence[Note], truth: Sequence[Note], onset: float) -> float:
    """mir_eval's note F1: onset within `onset` seconds and pitch within 50 cents; ends do not count."""
    if not detected:
        return 0.0
    spans = [np.array([[n.start, n.end] for n in notes]) for notes in (truth, detected)]
    pitches = [hertz([n.midi for n in notes]) for notes in (truth, detected)]
    _, _, f1, _ = mir_eval.transcription.precision_recall_f1_overlap(
        spans[0], pitches[0], spans[1], pitches[1], onset_tolerance=onset, pitch_tolerance=50, offset_ratio=None
    )
    return float(f1)


def contour_accuracy(contour: Contour, truth: Truth) -> tuple[float, float]:
    """Raw pitch and raw chroma accuracy of a tracker's contour against the sung pitch."""
    return _accuracy(contour.times, contour.hertz, truth)


def notes_accuracy(detected: Sequence[Note], truth: Truth) -> float:
    """Raw pitch accuracy of the notes as a melody against the sung pitch, vibrato and glides included.

    Raw pitch accuracy leaves voicing aside, so between notes the nearest note's pitch stands, marked unvoiced as mir_eval asks.
    """
    if not detected:
        return 0.0
    times = np.arange(len(truth.pitch)) * HOP
    spans = np.array([(n.start, n.end) for n in detected])
    distance = np.maximum(np.maximum(spans[:, 0] - times[:, None], times[:, None] - spans[:, 1]), 0)
    melody = hertz([n.midi for n in detected])[distance.argmin(axis=1)]
    return _accuracy(times, np.where(distance.min(axis=1) > 0, -melody, melody), truth)[0]


def _accuracy(times: np.ndarray, detected: np.ndarray, truth: Truth) -> tuple[float, float]:
    reference = np.arange(len(truth.pitch)) * HOP
    result = mir_eval.melody.evaluate(reference, truth.pitch, np.asarray(times), np.asarray(detected))
    return float(result["Raw Pitch Accuracy"]), float(result["Raw Chroma Accuracy"])


def plain(word: str) -> str:
    """Letters only, in lower case."""
    return re.sub(r"[^a-z]", "", word.casefold())


def word_errors(detected: Sequence[str], truth: Sequence[str]) -> int:
    """Substitutions, insertions and deletions between two sequences of words."""
    row = list(range(len(truth) + 1))
    for i, mine in enumerate(detected, start=1):
        diagonal, row[0] = row[0], i
        for j, theirs in enumerate(truth, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (mine != theirs))
    return row[-1]


def words_near(detected: Sequence[Word], truth: Sequence[Word], within: float = 0.15) -> float:
    """Share of the true words that are heard in their order and begin within `within` seconds of the truth."""
    near = [[0] * (len(truth) + 1) for _ in range(len(detected) + 1)]
    for i, mine in enumerate(detected):
        for j, theirs in enumerate(truth):
            same = plain(mine.text) == plain(theirs.text) and abs(mine.start - theirs.start) <= within
            near[i + 1][j + 1] = max(near[i][j + 1], near[i + 1][j], near[i][j] + same)
    return near[-1][-1] / len(truth)
