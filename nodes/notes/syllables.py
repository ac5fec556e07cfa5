"""Words onto notes: which note sings which syllable. The notes stay as they were heard; a wrong word costs text only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from nodes.notes.frames import HOP
from nodes.notes.segment import Segment
from pipelines.schema.values import Note, Word, Words

HELD = "~"
#: A note this far (seconds) from every word is not that word's.
_FAR = 0.6
_VOWELS = "aeiouyàáâãäåæèéêëìíîïòóôõöøœùúûüýÿаеёиоуыэюяіїєαεηιουω"


@lru_cache(maxsize=16)
def _hyphenator(language: str) -> Any:
    """The dictionary of a language, None where pyphen has none. Cached because reading one takes a tenth of a second."""
    import pyphen

    name = pyphen.language_fallback({"en": "en_US"}.get(language, language))
    return pyphen.Pyphen(lang=name) if name else None


def syllables(word: str, language: str, wanted: int) -> list[str]:
    """`word` in at most `wanted` pieces that joined give it again.

    Where it may be hyphenated; printers leave breaks out that singers make ("o-ver"), so where more pieces are wanted a piece is
    split before the consonant between two vowels; where fewer are wanted the last ones stay together.

    >>> syllables("twinkle", "en", 2), syllables("over", "en", 2), syllables("star", "en", 3)
    (['twin', 'kle'], ['o', 'ver'], ['star'])
    """
    dictionary = _hyphenator(language[:2].lower())
    pieces = str(dictionary.inserted(word, hyphen="\u00ad")).split("\u00ad") if dictionary else [word]
    while len(pieces) < wanted:
        split = next(((i, cut) for i, piece in enumerate(pieces) if (cut := _between_vowels(piece))), None)
        if split is None:
            break
        index, cut = split
        pieces[index : index + 1] = [pieces[index][:cut], pieces[index][cut:]]
    return [*pieces[: wanted - 1], "".join(pieces[wanted - 1 :])] if len(pieces) > wanted else pieces


def _between_vowels(piece: str) -> int | None:
    """Where to cut between the first two vowel groups; a silent final e is no vowel."""
    found = re.search(rf"[{_VOWELS}]+([^{_VOWELS}\W\d_]+)(?=[{_VOWELS}])(?!e$)", piece, re.IGNORECASE)
    return found.end(1) - min(len(found[1]), 1) if found else None


def sing(segments: Sequence[Segment], words: Words) -> list[Note]:
    """Every segment as a note with its text: a syllable, `~`, or, where a word has no note of its own, that word joined to
    the nearest note's."""
    owners = _owners(segments, words.words)
    texts = [HELD] * len(segments)
    for index, word in enumerate(words.words):
        mine = [i for i, owner in enumerate(owners) if owner == index]
        if mine:
            _write(texts, segments, mine, word.text.strip(), words.language)
    for index, word in enumerate(words.words):
        if index not in owners:
            _join(texts, segments, owners, index, word)
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


def _write(texts: list[str], segments: Sequence[Segment], mine: list[int], word: str, language: str) -> None:
    """The first syllable goes to the first note, the others to those that began most like an onset; the rest hold."""
    pieces = syllables(word, language, len(mine))
    strongest = sorted(mine[1:], key=lambda i: -segments[i].onset)[: len(pieces) - 1]
    places = [mine[0], *sorted(strongest)]
    for order, (place, piece) in enumerate(zip(places, pieces, strict=True)):
        texts[place] = (" " if order == 0 else "") + piece


def _join(texts: list[str], segments: Sequence[Segment], owners: Sequence[int], index: int, word: Word) -> None:
    """A word without a note is sung on the note nearest to it, before or after the words that are there already."""
    middle = (word.start + word.end) / 2
    near = min(range(len(segments)), key=lambda i: _distance(segments[i], middle), default=-1)
    if near < 0 or _distance(segments[near], middle) > _FAR:
        return
    there = "" if texts[near] == HELD else texts[near]
    texts[near] = (
        f" {word.text.strip()}{there}"
        if owners[near] > index and there.startswith(" ")
        else f"{there} {word.text.strip()}"
    )


def _distance(segment: Segment, second: float) -> float:
    return max(segment.start * HOP - second, second - segment.stop * HOP, 0.0)
