"""An independent, strict reader of UltraStar song files, written from the format's public description and nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


class NotConform(ValueError):
    """The file breaks a rule of the format; the message names the line."""


@dataclass(frozen=True)
class Read:
    kind: str
    start: int
    duration: int
    pitch: int
    text: str

    @property
    def end(self) -> int:
        return self.start + self.duration


@dataclass(frozen=True)
class Document:
    headers: dict[str, str]
    notes: list[Read]
    #: The beats of the `-` lines, each with the number of notes before it.
    breaks: list[tuple[int, int]]

    @property
    def beat_seconds(self) -> float:
        return 60.0 / (4.0 * float(self.headers["BPM"].replace(",", ".")))

    @property
    def gap_seconds(self) -> float:
        return float(self.headers.get("GAP", "0").replace(",", ".")) / 1000.0

    def seconds(self, beat: int) -> float:
        return self.gap_seconds + beat * self.beat_seconds

    @property
    def timed(self) -> list[tuple[float, float, int, str]]:
        """(start s, end s, MIDI number, text) of every pitched note."""
        return [
            (self.seconds(n.start), self.seconds(n.end), n.pitch + 60, n.text) for n in self.notes if n.kind in ":*"
        ]


def read(path: Path) -> Document:
    """Parse and check. Raises `NotConform`."""
    raw = path.read_bytes()
    if raw.startswith(b"\xef\xbb\xbf"):
        raise NotConform("The file begins with a byte order mark.")
    try:
        lines = raw.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise NotConform(f"The file is not UTF-8: {error}.") from None
    headers, body_at = _read_headers(lines)
    notes, breaks = _read_body(lines[body_at:], body_at + 1)
    document = Document(headers, notes, breaks)
    _check_headers(document, path.parent)
    _check_notes(document)
    return document


def _read_headers(lines: list[str]) -> tuple[dict[str, str], int]:
    headers: dict[str, str] = {}
    for index, line in enumerate(lines):
        if not line.startswith("#"):
            return headers, index
        match = re.fullmatch(r"#([A-Z0-9]+):(.*)", line.rstrip("\r"))
        if not match:
            raise NotConform(f"Line {index + 1} is no header: {line!r}.")
        if match[1] in headers:
            raise NotConform(f"Line {index + 1} repeats #{match[1]}.")
        headers[match[1]] = match[2]
    raise NotConform("The file has headers only.")


def _read_body(lines: list[str], number: int) -> tuple[list[Read], list[tuple[int, int]]]:
    notes: list[Read] = []
    breaks: list[tuple[int, int]] = []
    for offset, line in enumerate(lines):
        where = f"Line {number + offset}"
        if line.strip() == "E":
            return notes, breaks
        if match := re.fullmatch(r"- (-?\d+)", line):
            if breaks and breaks[-1][1] == len(notes):
                raise NotConform(f"{where}: two line breaks in a row.")
            breaks.append((int(match[1]), len(notes)))
        elif match := re.fullmatch(r"([:*FRG]) (-?\d+) (\d+) (-?\d+) (.+)", line):
            notes.append(Read(match[1], int(match[2]), int(match[3]), int(match[4]), match[5]))
        else:
            raise NotConform(f"{where} is neither a note, a line break nor the end: {line!r}.")
    raise NotConform("The end marker E is missing.")


def _check_headers(document: Document, folder: Path) -> None:
    for name in ("TITLE", "ARTIST", "BPM"):
        if not document.headers.get(name, "").strip():
            raise NotConform(f"#{name} is missing or empty.")
    if "AUDIO" not in document.headers and "MP3" not in document.headers:
        raise NotConform("Neither #AUDIO nor #MP3 names the sound.")
    if document.beat_seconds <= 0:
        raise NotConform("#BPM must be above 0.")
    for name in ("AUDIO", "MP3", "COVER", "VOCALS", "INSTRUMENTAL"):
        value = document.headers.get(name)
        if value is not None and (Path(value).name != value or not (folder / value).is_file()):
            raise NotConform(f"#{name} names {value!r}, which is not a file beside the song.")


def _check_notes(document: Document) -> None:
    if not document.notes:
        raise NotConform("There is no note.")
    for note in document.notes:
        if note.duration < 1:
            raise NotConform(f"The note at beat {note.start} lasts {note.duration} beats.")
    for before, after in zip(document.notes, document.notes[1:], strict=False):
        if after.start < before.end:
            raise NotConform(f"The note at beat {after.start} overlaps the one at {before.start}.")
    for beat, index in document.breaks:
        if index in {0, len(document.notes)}:
            raise NotConform(f"The line break at beat {beat} has no phrase on one side.")
        if not document.notes[index - 1].end <= beat <= document.notes[index].start:
            raise NotConform(f"The line break at beat {beat} is inside or outside the gap between its notes.")
    medley = [int(document.headers[k]) for k in ("MEDLEYSTARTBEAT", "MEDLEYENDBEAT") if k in document.headers]
    if medley and (len(medley) != 2 or not document.notes[0].start <= medley[0] < medley[1] <= document.notes[-1].end):
        raise NotConform(f"The medley {medley} does not lie inside the song.")
