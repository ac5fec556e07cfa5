"""Numbers as the words that are said for them: 24 is "twenty-four" in English and "vierundzwanzig" in German."""

from __future__ import annotations

import re

#: A number with its marks, and what English writes behind one that counts places.
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*(?:(?:st|nd|rd|th)\b)?", re.IGNORECASE)
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)", re.IGNORECASE)
#: Languages that write 1,000.5 for what the others write as 1.000,5.
_POINT = ("en", "he", "ja", "ko", "th")
#: Languages that say 1984 in hundreds, and the numbers they say so.
_HUNDREDS, _YEARS = ("da", "de", "en", "nl", "no"), range(1100, 2100)
#: A number of more digits, or one that begins with 0, is a name and is said digit by digit.
_LONGEST = 6
#: What num2words calls a language that others call otherwise.
_NAMES = {"nb": "no", "nn": "no"}


def spelled(text: str, language: str) -> str:
    """`text` with its numbers in words of `language` (ISO 639-1), as num2words has them.

    Where num2words does not know the language, the text stays as it is.

    >>> spelled("24 hours in 1984, the 2nd time 4ever", "en")
    'twenty-four hours in nineteen eighty-four, the second time four ever'
    >>> spelled("24", "de"), spelled("24", "la")
    ('vierundzwanzig', '24')
    """
    if not any(character.isdecimal() for character in text):
        return text  # importing num2words takes a tenth of a second
    from num2words import CONVERTER_CLASSES

    short = language.lower().replace("_", "-").partition("-")[0]
    short = _NAMES.get(short, short)
    return (
        _NUMBER.sub(lambda found: _apart(found, _words(found[0], short)), text) if short in CONVERTER_CLASSES else text
    )


def _apart(found: re.Match[str], words: str) -> str:
    """`words` with a space where a letter stands beside the number."""
    before, after = found.string[: found.start()], found.string[found.end() :]
    return f"{' ' * before[-1:].isalpha()}{words}{' ' * after[:1].isalpha()}"


def _words(number: str, language: str) -> str:
    if place := _ORDINAL.fullmatch(number):
        return _read(int(place[1]), language, "ordinal" if language == "en" else "cardinal")
    group, point = (",", ".") if language in _POINT else (".", ",")
    grouped = re.fullmatch(rf"[1-9]\d{{0,2}}(?:{re.escape(group)}\d{{3}})+(?:{re.escape(point)}\d+)?", number)
    whole, mark, rest = (number.replace(group, "") if grouped else number).partition(point)
    if not whole.isdecimal() or (mark and not rest.isdecimal()):  # a date, a time, a version
        return " ".join(_words(part, language) for part in re.split(r"[.,]", number))
    if not grouped and (len(whole) > _LONGEST or (whole[0] == "0" and len(whole) > 1)):
        return " ".join(_read(int(digit), language) for digit in number if digit.isdecimal())
    if mark:
        return _read(float(f"{whole}.{rest}"), language)
    year = not grouped and language in _HUNDREDS and int(whole) in _YEARS
    return _read(int(whole), language, "year" if year else "cardinal")


def _read(number: float, language: str, kind: str = "cardinal") -> str:
    """`number` in words; in digits where num2words fails, which has no word for some numbers of some languages."""
    from num2words import num2words

    try:
        return str(num2words(number, lang=language, to=kind))
    except (ArithmeticError, LookupError, NotImplementedError, TypeError, ValueError):
        return str(number)
