"""Words onto notes: which note sings which syllable. Notes stay where they were found, so a wrong word costs text only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from typing import Any

from nodes.notes.frames import HOP
from nodes.notes.segment import Segment
from nodes.text.numbers import spelled
from pipelines.schema.values import Note, Word, Words

HELD = "~"
#: A note this far (seconds) from every word is not that word's.
_FAR = 0.6
_CHOICE = 12
_VOWELS = "aeiouyàáâãäåæèéêëìíîïòóôõöøœùúûüýÿаеёиоуыэюяіїєαεηιουω"


@lru_cache(maxsize=16)
def _hyphenator(language: str) -> Any:
    """The dictionary of a language, None where pyphen has none. Cached because reading one takes a tenth of a second."""
    import pyphen

    name = pyphen.language_fallback({"en": "en_US"}.get(language, language))
    return pyphen.Pyphen(lang=name) if name else None


def syllables(word: str, language: str, wanted: int) -> list[str]:
    """`word` in at most `wanted` pieces that joined give it again; a number on more than one note is spelled out first.

    Where it may be hyphenated; printers leave breaks out that singers make ("o-ver"), so where more pieces are wanted a piece is
    split before the consonant between two vowels; where fewer are wanted the last ones stay together.

    >>> syllables("twinkle", "en", 2), syllables("over", "en", 2), syllables("star", "en", 3)
    (['twin', 'kle'], ['o', 'ver'], ['star'])
    >>> syllables("24", "en", 3), syllables("24", "en", 1)
    (['twen', 'ty-', 'four'], ['24'])
    """
    text = spelled(word, language) if wanted > 1 else word
    parts = re.findall(r"[\s-]*[^\s-]+-?", text) if text != word else [word]
    pieces = [piece for part in parts for piece in _hyphenated(part, language)]
    while len(pieces) < wanted:
        split = next(((i, cut) for i, piece in enumerate(pieces) if (cut := _between_vowels(piece))), None)
        if split is None:
            break
        index, cut = split
        pieces[index : index + 1] = [pieces[index][:cut], pieces[index][cut:]]
    return [*pieces[: wanted - 1], "".join(pieces[wanted - 1 :])] if len(pieces) > wanted else pieces


def _hyphenated(word: str, language: str) -> list[str]:
    dictionary = _hyphenator(language[:2].lower())
    return str(dictionary.inserted(word, hyphen="\u00ad")).split("\u00ad") if dictionary else [word]


def _between_vowels(piece: str) -> int | None:
    """Where to cut between the first two vowel groups; a silent final e is no vowel."""
    found = re.search(rf"[{_VOWELS}]+([^{_VOWELS}\W\d_]+)(?=[{_VOWELS}])(?!e$)", piece, re.IGNORECASE)
    return found.end(1) - min(len(found[1]), 1) if found else None


def sing(segments: Sequence[Segment], words: Words) -> list[Note]:
    """Every segment as a note with its text: a syllable, `~`, or, where a word has no note of its own, that word joined to
    the nearest note's."""
    owners = _owners(segments, words.words)
    sung: list[list[tuple[int, str]]] = [[] for _ in segments]
    for index, word in enumerate(words.words):
        mine = [i for i, owner in enumerate(owners) if owner == index]
        for place, piece in _placed(segments, mine or _nearest(segments, word), word, words.language):
            sung[place].append((index, piece))
    texts = ["".join(piece for _, piece in sorted(pieces, key=lambda p: p[0])) or HELD for pieces in sung]
    return [Note(s.start * HOP, s.stop * HOP, s.midi, text) for s, text in zip(segments, texts, strict=True)]


def _owners(segments: Sequence[Segment], words: Sequence[Word]) -> list[int]:
    """For each segment the word it sings, -1 for none: the one it shares most time with, else the one just before it."""
    owners: list[int] = []
    for segment in segments:
        start, stop = segment.start * HOP, segment.stop * HOP
        shared = [min(stop, word.end) - max(start, word.start) for word in words]
        best = max(range(len(words)), key=shared.__getitem__, default=-1)
        if best >= 0 and shared[best] <= 0:
            earlier = [i for i, word in enumerate(words) if word.end <= start]
            best = earlier[-1] if earlier and start - words[earlier[-1]].end < _FAR else -1
        owners.append(max(best, owners[-1]) if owners and best >= 0 else best)
    return owners


def _placed(segments: Sequence[Segment], mine: Sequence[int], word: Word, language: str) -> list[tuple[int, str]]:
    """The word's syllables on some of its notes: the first on the first, the others where a note begins most like an onset
    and nearest to where even syllables would fall."""
    if not mine:
        return []
    pieces = syllables(word.text.strip(), language, min(len(mine), _CHOICE))
    length = max(word.end - word.start, 0.1)
    due = [word.start + length * k / len(pieces) for k in range(1, len(pieces))]

    def fit(places: Sequence[int]) -> float:
        return sum(
            segments[i].onset - abs(segments[i].start * HOP - at) / length for i, at in zip(places, due, strict=True)
        )

    # A word on very many notes is a long melisma: its first notes are choice enough.
    best = max(combinations(mine[1:_CHOICE], len(pieces) - 1), key=fit)
    return [
        (place, piece if order else f" {piece}")
        for order, (place, piece) in enumerate(zip((mine[0], *best), pieces, strict=True))
    ]


def _nearest(segments: Sequence[Segment], word: Word) -> list[int]:
    """The note nearest to a word that has none, as a list of one; empty where all are far."""
    middle = (word.start + word.end) / 2
    near = min(range(len(segments)), key=lambda i: _distance(segments[i], middle), default=-1)
    return [near] if near >= 0 and _distance(segments[near], middle) <= _FAR else []


def _distance(segment: Segment, second: float) -> float:
    return max(segment.start * HOP - second, second - segment.stop * HOP, 0.0)
