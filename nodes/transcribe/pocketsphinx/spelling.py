"""Lyrics as a decoder wants them: cut into words, spelled for its dictionary, and pronounced where it does not know them."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from nodes.text.numbers import spelled

#: Letters and how they sound in English, the longest first; a rule of thumb for names and words of a singer's own.
_SOUNDS = {
    "tion": "SH AH N", "sion": "ZH AH N", "ough": "AO", "eigh": "EY", "augh": "AO", "tch": "CH", "igh": "AY", "dge": "JH",
    "sch": "SH", "ing": "IH NG", "ch": "CH", "sh": "SH", "th": "TH", "ph": "F", "wh": "W", "ck": "K", "ng": "NG", "qu": "K W",
    "kn": "N", "wr": "R", "gh": "G", "ee": "IY", "ea": "IY", "oo": "UW", "ou": "AW", "ow": "OW", "oa": "OW", "oi": "OY", "oy": "OY",
    "ai": "EY", "ay": "EY", "au": "AO", "aw": "AO", "ei": "EY", "ey": "IY", "ie": "IY", "ue": "UW", "ew": "UW", "er": "ER", "ir": "ER",
    "ur": "ER", "ar": "AA R", "or": "AO R", "ce": "S EH", "ci": "S IH", "a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F",
    "g": "G", "h": "HH", "i": "IH", "j": "JH", "k": "K", "l": "L", "m": "M", "n": "N", "o": "OW", "p": "P", "q": "K", "r": "R", "s": "S",
    "t": "T", "u": "AH", "v": "V", "w": "W", "x": "K S", "y": "IY", "z": "Z",
}  # fmt: skip
_SIGNS = {"&": " and ", "+": " plus ", "%": " percent ", "@": " at ", "$": " dollars ", "’": "'", "ß": "ss"}


@dataclass(frozen=True, slots=True)
class Sung:
    """A word as it was written, and the parts of it to look up: lower-case letters and apostrophes."""

    text: str
    parts: tuple[str, ...]


def lyrics_words(text: str, language: str = "en") -> list[Sung]:
    r"""The words of `text`, in order; lines in brackets (`[Chorus]`) and tokens without a letter or number are not sung.

    language: in which numbers are read.

    >>> [word.parts for word in lyrics_words("[Verse 1]\nMerry-go-round – café 24!")]
    [('merry', 'go', 'round'), ('cafe',), ('twenty', 'four')]
    """
    words: list[Sung] = []
    for line in text.splitlines():
        if re.fullmatch(r"\s*\[.*\]\s*", line):
            continue
        words += [Sung(token, parts) for token in line.split() if (parts := _parts(token, language))]
    return words


def _parts(token: str, language: str) -> tuple[str, ...]:
    """In letters a to z; a number in English where `language` is written in others, or is not known."""
    plain = unicodedata.normalize("NFKD", token.lower())
    return _latin(spelled(plain, language)) or _latin(spelled(plain, "en"))


def _latin(text: str) -> tuple[str, ...]:
    letters = unicodedata.normalize("NFKD", text.lower())
    plain = "".join(_SIGNS.get(c, c) for c in letters if not unicodedata.combining(c))
    return tuple(re.findall(r"'*[a-z][a-z']*", plain))


def pronounce(decoder: Any, word: Sung) -> str:
    """The name under which `decoder` knows `word`, taught to it where it does not: what its parts sound like, one after another."""
    known = [_known(decoder, part) for part in word.parts]
    if len(known) == 1 and known[0]:
        return known[0]
    name = "-".join(word.parts)
    if decoder.lookup_word(name) is None:
        phonemes = [decoder.lookup_word(k) if k else sounds(p) for k, p in zip(known, word.parts, strict=True)]
        decoder.add_word(name, " ".join(phonemes), True)
    return name


def _known(decoder: Any, part: str) -> str | None:
    return next((form for form in (part, part.strip("'")) if decoder.lookup_word(form)), None)


def sounds(spelling: str) -> str:
    """Phonemes (CMU's, spaced) for a spelling, letter by letter; a final silent e is not said.

    >>> sounds("wenceslas")
    'W EH N S EH S L AE S'
    """
    rest = re.sub(r"(.)\1", r"\1", spelling.replace("'", ""))
    if len(rest) > 3 and rest.endswith("e") and rest[-2] not in "aeiou":
        rest = rest[:-1]
    found = []
    while rest:
        size = next((n for n in (4, 3, 2, 1) if rest[:n] in _SOUNDS), 1)
        found.append(_SOUNDS.get(rest[:size], ""))
        rest = rest[size:]
    return " ".join(found) or "AH"
