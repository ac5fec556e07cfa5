"""How a text of any length and any origin becomes sentences that a speech model can say.

A sentence ends at a line's end or at a mark that what follows confirms, and nothing further on can change it. So a text that
arrives in pieces is cut exactly as the whole would be.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipelines.schema.errors import TaskFailed

_WIDE, _NARROW, _CLOSERS = "。！？｡", ".!?…؟।", "\"'”’»」』)\\]"
#: Marks of scripts that write no spaces end a sentence by themselves, others only before a space.
_END = re.compile(rf"\n|[{_WIDE}]+[{_CLOSERS}]*(?=[^{_WIDE}{_CLOSERS}])|[{_NARROW}]+[{_CLOSERS}]*(?=\s)")
_NO_END = re.compile(r"(?:[^\W\d_]|\d{1,2}|mrs?|ms|dr|prof|vs|nr|etc|bzw|ca|e\.g|i\.e|z\.b|u\.a|mme?|sra?)\.", re.I)
_CLAUSE = re.compile(r"[,;:،、；：，—–](?=\s|[^\x00-\x7f])")
_JOINERS = "\u200c\u200d"
#: Languages written without spaces, of which Whisper gives characters for words.
_UNSPACED = ("zh", "ja", "th", "lo", "my", "yue")


@dataclass(frozen=True, slots=True)
class Sentence:
    """Something to say in one breath, and the number of the line of the text (from 0) it is in."""

    text: str
    line: int


def clean(text: str) -> str:
    """`text` in composed form without emoji and characters that have no sound; spaces single, lines kept apart.

    >>> clean("a\\x00b\\t c\\r\\n\\r\\n  d\\u200b \\U0001f600")
    'ab c\\nd'
    """
    audible = unicodedata.normalize("NFC", "".join(_audible(text.replace("\r\n", "\n").replace("\r", "\n"))))
    lines = (" ".join(line.split()) for line in audible.split("\n"))
    return "\n".join(line for line in lines if line)


def speakable(text: str) -> bool:
    """Whether anything in it can be said: a letter or a digit of any script."""
    return any(unicodedata.category(character)[0] in "LN" for character in text)


def space_of(language: str) -> str:
    """What stands between two words of `language`."""
    return "" if language.lower().partition("-")[0] in _UNSPACED else " "


def sentences(text: str, limit: int = 250) -> list[Sentence]:
    """`text` in pieces of at most `limit` characters, each with something to say.

    Raises `TaskFailed` where there is nothing to say at all.
    """
    return list(flowing_sentences([text], limit))


def flowing_sentences(pieces: Iterable[str], limit: int = 250) -> Iterator[Sentence]:
    """`sentences` of a text that arrives in `pieces`; each is given as soon as it is complete."""
    speaks = False
    for raw, line in _complete(pieces):
        for part in _within(clean(raw).replace("\n", " "), limit):
            if speakable(part):
                speaks = True
                yield Sentence(part, line)
    if not speaks:
        raise TaskFailed("The text has nothing that can be said: no letter and no digit. Give it words with text=.")


def _complete(pieces: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Uncleaned sentences with their line. What has come and is not complete yet waits."""
    waiting, line = "", 0
    for piece in pieces:
        waiting += piece
        start = 0
        for end in _END.finditer(waiting):
            if end[0] != "\n" and _NO_END.fullmatch(waiting[max(start, end.end() - 9) : end.end()].split()[-1]):
                continue
            yield waiting[start : end.end()], line
            start = end.end()
            line += end[0] == "\n"
        waiting = waiting[start:]
    yield waiting, line


def _within(text: str, limit: int) -> Iterator[str]:
    """`text` in pieces of at most `limit`, cut behind the last clause in reach, else at a space, else anywhere."""
    while len(text) > limit:
        clauses = [mark.end() for mark in _CLAUSE.finditer(text, limit // 3, limit)]
        at = clauses[-1] if clauses else max(text.rfind(" ", 1, limit + 1), 0) or limit
        yield text[:at].strip()
        text = text[at:].strip()
    yield text


def _audible(text: str) -> Iterator[str]:
    """The characters that stand for sound or separate it."""
    for index, character in enumerate(text):
        kind = unicodedata.category(character)
        if character in _JOINERS:
            around = text[index - 1 : index] + text[index + 1 : index + 2]
            if len(around) == 2 and all(unicodedata.category(c)[0] in "LM" for c in around):
                yield character
        elif character in "\n\t" or kind[0] == "Z":
            yield "\n" if kind in ("Zl", "Zp") or character == "\n" else " "
        elif kind not in ("Cc", "Cf", "Cs", "Co", "Cn") and not _pictorial(character):
            yield character


def _pictorial(character: str) -> bool:
    """Emoji and dingbats, and what only changes how they look."""
    code = ord(character)
    return 0x1F000 <= code < 0x20000 or 0x2600 <= code <= 0x27BF or 0xFE00 <= code <= 0xFE0F
