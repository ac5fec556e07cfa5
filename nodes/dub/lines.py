"""From a timed transcript to the lines that a dub says in its place. Translations come from a file.

A line ends at a long enough pause, at a sentence's end, or before it grows too long to be fitted well.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from nodes.text.sentences import clean, space_of, speakable
from pipelines.schema.errors import TaskFailed, did_you_mean
from pipelines.schema.node import Context, Inputs, Outputs, Plain, Port
from pipelines.schema.values import Text, Word, Words

_SENTENCE_END = ".!?…。！？"


class Lines(Plain):
    """Groups words into lines and puts each line's translation in its place.

    Takes `words`; gives `text`, a line of the dub a line, and `lines`, the same lines as words with the seconds each has.
    Licence: Apache-2.0 (this project). Figures: none; it takes next to nothing.

    translations: a JSON file (`{"line": "translation", ...}` or a list, one a line) or a CSV file with the columns `line` and
    `translation`; the item's setting `translations` outranks it. Without one, the lines are said as they are.
    language: of the translations, ISO 639-1; the item's setting `dub_language` outranks it.
    pause: seconds of silence that end a line, above 0.
    longest: seconds a line may last, above 0.
    missing: `keep` (say the original) or `fail` where a line has no translation.
    """

    inputs: ClassVar[Mapping[str, Port]] = {"words": Port("words", "what was said and when")}
    outputs: ClassVar[Mapping[str, Port]] = {
        "text": Port("text", "what to say, one line of the dub a line"),
        "lines": Port("words", "the same lines with the time each has"),
    }

    def __init__(
        self,
        translations: str | None = None,
        language: str | None = None,
        pause: float = 0.6,
        longest: float = 12.0,
        missing: str = "keep",
    ) -> None:
        if missing not in ("keep", "fail") or pause <= 0 or longest <= 0:
            raise ValueError(
                f"missing {missing!r} must be keep or fail; pause {pause} and longest {longest} above 0 s."
            )
        self.translations, self.language, self.pause, self.longest, self.missing = (
            translations, language, pause, longest, missing,
        )  # fmt: skip

    def run(self, model: None, inputs: Inputs, context: Context) -> Outputs:
        """`text` and `lines`, one for one. Raises `TaskFailed` for an unreadable file, or a missing translation where told to."""
        words = inputs["words"]
        assert isinstance(words, Words)
        joined = grouped(words.words, self.pause, self.longest, space_of(words.language))
        lines = [line for line in joined if speakable(line.text)]
        if not lines:
            raise TaskFailed("There is nothing to dub: no words were heard. Check the transcribe step's result.")
        source = context.settings.get("translations") or self.translations
        spoken = lines if not source else self._translated(lines, Path(str(source)).expanduser(), context)
        language = str(context.settings.get("dub_language") or self.language or words.language)
        return {
            "text": Text("\n".join(line.text for line in spoken), language),
            "lines": Words(tuple(spoken), language),
        }

    def _translated(self, lines: Sequence[Word], path: Path, context: Context) -> list[Word]:
        table = read_translations(path)
        if isinstance(table, list):
            if len(table) != len(lines):
                raise TaskFailed(
                    f"{path} has {len(table)} translations for {len(lines)} lines. They must match one for one; "
                    "a JSON object from line to translation may leave lines out."
                )
            table = {_key(line.text): text for line, text in zip(lines, table, strict=True)}
        absent = [line.text for line in lines if not speakable(table.get(_key(line.text), ""))]
        if absent and self.missing == "fail":
            raise TaskFailed(f"{path} has no translation of {absent[0]!r}. {did_you_mean(_key(absent[0]), table)}")
        if absent:
            context.warn(f"{path} has no translation of {len(absent)} of {len(lines)} lines, the first {absent[0]!r}.")
        return [_with_text(line, table.get(_key(line.text), "")) for line in lines]


def grouped(words: Sequence[Word], pause: float, longest: float, space: str = " ") -> list[Word]:
    """Words joined by `space` to lines: a new one after `pause` s of silence, after a sentence, and before one would pass `longest` s."""
    lines: list[Word] = []
    for word in words:
        last = lines[-1] if lines else None
        joins = (
            last is not None
            and word.start - last.end < pause
            and word.end - last.start <= longest
            and last.text[-1:] not in _SENTENCE_END
        )
        if joins and last is not None:
            confidence = min(last.confidence, word.confidence)
            lines[-1] = Word(f"{last.text}{space}{word.text.strip()}", last.start, max(word.end, last.end), confidence)
        elif word.text.strip():
            lines.append(Word(word.text.strip(), word.start, word.end, word.confidence))
    return lines


def read_translations(path: Path) -> dict[str, str] | list[str]:
    """A table of translations by line (spelt without case and marks), or a list in the order of the lines."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".csv":
            rows = list(csv.DictReader(text.splitlines()))
            return {_key(row["line"]): row["translation"] or "" for row in rows}
        data = json.loads(text)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, csv.Error) as error:
        why = (
            "it is not UTF-8 text"
            if isinstance(error, UnicodeDecodeError)
            else getattr(error, "strerror", None) or error
        )
        raise TaskFailed(f"The translations {path} cannot be read: {why}.") from error
    except KeyError as error:
        raise TaskFailed(
            f"The translations {path} have no column {error}; they need `line` and `translation`."
        ) from None
    if isinstance(data, dict) and all(isinstance(value, str) for value in data.values()):
        return {_key(str(line)): value for line, value in data.items()}
    if isinstance(data, list) and all(isinstance(value, str) for value in data):
        return data
    raise TaskFailed(
        f"The translations {path} must be a JSON object from line to translation, or a list of translations."
    )


def _key(text: str) -> str:
    """How lines are compared: letters and digits in lower case, single spaces."""
    return " ".join(re.sub(r"[^\w\s]", " ", clean(text).casefold()).split())


def _with_text(line: Word, text: str) -> Word:
    cleaned = clean(text).replace("\n", " ")
    return Word(cleaned, line.start, line.end, line.confidence) if speakable(cleaned) else line
