"""Notes as the text of an UltraStar song (format version 1): seconds in, text out.

Times are rounded to beats once, from the absolute second, so no error adds up; the beat is made short enough for that.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipelines.schema.values import Note, Notes

#: Pitch 0 of the format is C4.
MIDDLE_C = 60
#: `#BPM` is the music's tempo times the largest whole number that keeps it below this. 600 makes a beat at most 50 ms and
#: commonly 25 to 30 ms, so that rounding moves a note by about 15 ms at most.
FINEST_BPM = 600.0
_CHORUS_SECONDS = (8.0, 60.0)
LANGUAGES = {
    "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish", "fi": "Finnish",
    "fr": "French", "hr": "Croatian", "hu": "Hungarian", "it": "Italian", "ja": "Japanese", "ko": "Korean", "nl": "Dutch",
    "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sv": "Swedish", "tr": "Turkish",
    "uk": "Ukrainian", "zh": "Chinese",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """One note in beats from `#GAP`; whole numbers, `length` at least 1, `pitch` half-steps from C4."""

    start: int
    length: int
    pitch: int
    text: str

    @property
    def end(self) -> int:
        """The first beat after it."""
        return self.start + self.length


def song_text(notes: Notes, headers: Mapping[str, str]) -> str:
    """The whole file. `headers` in order, names without `#`; empty values are left out, line ends in values made spaces.

    `BPM`, `GAP`, `LANGUAGE` and, where a chorus is found, `MEDLEYSTARTBEAT`/`MEDLEYENDBEAT` are added from the notes.
    ValueError where there are no notes: the format has no song without one.
    """
    if not notes.notes:
        raise ValueError("A song needs at least one note.")
    bpm = written_bpm(notes.bpm)
    gap = round(notes.notes[0].start * 1000)
    lines = quantise(notes.notes, bpm, gap / 1000)
    found = chorus(notes)
    medley = {"MEDLEYSTARTBEAT": str(lines[found[0]].start), "MEDLEYENDBEAT": str(lines[found[1]].end)} if found else {}
    language = LANGUAGES.get(notes.language[:2].lower(), notes.language)
    every = {**headers, "LANGUAGE": language, "BPM": f"{bpm:.2f}".rstrip("0").rstrip("."), "GAP": str(gap), **medley}
    head = [f"#{name}:{value}" for name, value in ((n, one_line(v)) for n, v in every.items()) if value]
    return "\n".join([*head, *_body(lines, set(notes.breaks)), "E", ""])


def written_bpm(bpm: float) -> float:
    """The value of `#BPM`, two decimals, which readers multiply by four.

    >>> written_bpm(120.0)
    480.0
    """
    multiple = max(int((FINEST_BPM - 1e-9) / bpm), 1)
    return round(bpm * multiple, 2)


def quantise(notes: Sequence[Note], bpm: float, gap: float) -> list[Line]:
    """Whole beats, strictly ascending, none empty, none overlapping. `bpm` as written, `gap` seconds."""
    beat = 60 / (4 * bpm)
    starts: list[int] = []
    for note in notes:
        rounded = round((note.start - gap) / beat)
        starts.append(max(rounded, starts[-1] + 1 if starts else 0))
    lines = []
    for index, note in enumerate(notes):
        end = max(round((note.end - gap) / beat), starts[index] + 1)
        if index + 1 < len(notes):
            end = min(end, starts[index + 1])
        lines.append(
            Line(starts[index], end - starts[index], note.midi - MIDDLE_C, one_line(note.text, keep=True) or "~")
        )
    return lines


def one_line(text: str, *, keep: bool = False) -> str:
    """`text` fit for a line of the file: composed, without control characters or line ends; `keep` its leading space.

    >>> one_line("a\\nb ")
    'a b'
    """
    plain = re.sub(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]+", " ", unicodedata.normalize("NFC", str(text)))
    stripped = plain.strip()
    return " " + stripped if keep and plain.startswith(" ") and stripped else stripped


def _body(lines: Sequence[Line], breaks: set[int]) -> Iterator[str]:
    for index, line in enumerate(lines):
        phrase = index == 0 or index in breaks
        if phrase and index:
            before = lines[index - 1].end
            yield f"- {before + (line.start - before) // 2}"
        text = line.text.lstrip() if phrase else line.text
        yield f": {line.start} {line.length} {line.pitch} {text}"


def chorus(notes: Notes) -> tuple[int, int] | None:
    """First and last note of the longest run of phrases whose words come again later; None where none is long enough.

    A medley plays this part only; a guess would be worse than none, so short or unique songs have none.
    """
    edges = [0, *notes.breaks, len(notes.notes)]
    spans = [(a, b - 1) for a, b in itertools.pairwise(edges)]
    texts = ["".join(n.text for n in notes.notes[a : b + 1] if n.text != "~").strip().casefold() for a, b in spans]
    best: tuple[float, int, int] | None = None
    for first in range(len(spans)):
        for second in range(first + 1, len(spans)):
            length = _matching(texts, first, second)
            if length:
                start, end = spans[first][0], spans[first + length - 1][1]
                seconds = notes.notes[end].end - notes.notes[start].start
                if _CHORUS_SECONDS[0] <= seconds <= _CHORUS_SECONDS[1] and (best is None or seconds > best[0]):
                    best = (seconds, start, end)
    return (best[1], best[2]) if best else None


def _matching(texts: Sequence[str], first: int, second: int) -> int:
    """How many phrases from `first` on equal those from `second` on, without running into them."""
    length = 0
    while second + length < len(texts) and first + length < second and texts[first + length]:
        if texts[first + length] != texts[second + length]:
            break
        length += 1
    return length
