"""Texts of every kind are cut into sentences; what arrives in pieces is cut as the whole."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nodes.text.sentences import clean, flowing_sentences, sentences, speakable
from pipelines.schema.errors import TaskFailed

_TEXT = st.text(st.sampled_from("ab Z3.!?,;。！\n\r\t\"')…Dr\u0301\u200b\U0001f600日本の"), max_size=120)


def message(text, limit=250):
    return [sentence.text for sentence in sentences(text, limit)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello. How are you? Fine!", ["Hello.", "How are you?", "Fine!"]),
        ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
        ("Dr. Smith paid 3.50 on the 3. Oktober.", ["Dr. Smith paid 3.50 on the 3. Oktober."]),
        ("今日は。元気？はい", ["今日は。", "元気？", "はい"]),
        ("one\ntwo", ["one", "two"]),
        ("Привет. Hello! 你好。", ["Привет.", "Hello!", "你好。"]),
        ("Fine 👍🏽 really", ["Fine really"]),
    ],
)
def test_known_texts(text, expected):
    assert message(text) == expected


def test_lines_are_counted_where_empty_ones_stand_between():
    assert [(s.text, s.line) for s in sentences("You see. Me.\n\nd")] == [("You see.", 0), ("Me.", 0), ("d", 2)]


@pytest.mark.parametrize("text", ["", "   \n", "...", "\x00\x07", "😀🎉", "—", "\u200b"])
def test_nothing_to_say_is_a_sentence(text):
    with pytest.raises(TaskFailed, match=r"nothing that can be said"):
        sentences(text)


def test_control_characters_and_lone_surrogates_go():
    assert message("a\x00b\x1b[31m c\ud800") == ["ab[31m c"]


def test_joiners_stay_inside_words_that_need_them():
    assert clean("می\u200cخواهم") == "می\u200cخواهم"
    assert clean("a \u200db") == "a b"


def test_long_sentences_are_cut_at_clauses_then_spaces_then_anywhere():
    assert message("aaaa bbbb, cccc dddd", 12) == ["aaaa bbbb,", "cccc dddd"]
    assert message("aaaa bbbb cccc", 9) == ["aaaa bbbb", "cccc"]
    assert message("a" * 25, 10) == ["a" * 10, "a" * 10, "a" * 5]


def test_a_hundred_thousand_characters_are_all_said():
    text = "The quick brown fox, at last, jumps over it. " * 2200
    assert " ".join(message(text)) == " ".join(text.split())


def _spoken(text):
    return [c for c in unicodedata.normalize("NFC", text) if speakable(c)]


@given(_TEXT, st.integers(4, 40))
@example("a\n\u03013", 4)
def test_nothing_is_lost_and_no_piece_is_too_long(text, limit):
    try:
        pieces = message(text, limit)
    except TaskFailed:
        assert not speakable(text)
        return
    assert all(len(piece) <= limit and speakable(piece) for piece in pieces)
    # Piece by piece: joined, an accent that began a line would be composed with the letter before it.
    assert [sign for piece in pieces for sign in _spoken(piece)] == _spoken(clean(text))


@given(st.lists(_TEXT, max_size=6), st.integers(4, 40))
def test_pieces_are_cut_as_the_whole(pieces, limit):
    try:
        whole = sentences("".join(pieces), limit)
    except TaskFailed:
        return
    assert list(flowing_sentences(pieces, limit)) == whole
