"""Numbers are read as a speaker of the language reads them, and no number of any text stops a run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.text.numbers import spelled


@pytest.mark.parametrize(
    ("text", "language", "message"),
    [
        ("24", "en", "twenty-four"),
        ("24", "de", "vierundzwanzig"),
        ("24", "FR", "vingt-quatre"),
        ("24", "pt-BR", "vinte e quatro"),
        ("24", "nb", "tjuefire"),
        ("in 1984", "en", "in nineteen eighty-four"),
        ("in 2001", "en", "in two thousand and one"),
        ("1984", "es", "mil novecientos ochenta y cuatro"),
        ("the 2nd of 3", "en", "the second of three"),
        ("3.5 and 1,000", "en", "three point five and one thousand"),
        ("3,5 und 1.000", "de", "drei Komma fünf und eintausend"),
        ("007", "en", "zero zero seven"),
        ("8675309", "en", "eight six seven five three zero nine"),
        ("4ever b4 U2", "en", "four ever b four U two"),
        ("12.03.2024", "en", "twelve zero three twenty twenty-four"),
        ("٢٤", "en", "twenty-four"),
        ("24", "zh", "24"),
        ("24", "", "24"),
        ("no number", "en", "no number"),
    ],
)
def test_a_number_is_read_as_it_is_said(text, language, message):
    assert spelled(text, language) == message


@given(st.text(alphabet="0123456789.,ab ٣", max_size=40), st.sampled_from(["en", "de", "am", "sv", "ja", "ru", "xx"]))
def test_any_text_is_read_without_an_error_and_keeps_its_letters(text, language):
    message = spelled(text, language)
    assert language != "xx" or message == text
    assert message.strip() or not text.strip()
    if not any(c.isdecimal() for c in text):
        assert message == text
