"""Words become lines at pauses and sentence ends; translations are found whatever their case and marks."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.dub.lines import Lines, grouped
from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Context
from pipelines.schema.values import Word, Words

WORDS = (
    Word("Hello", 0.0, 0.4), Word("world.", 0.5, 0.9), Word("This", 1.0, 1.2), Word("is", 1.2, 1.3),
    Word("it", 2.5, 2.8),
)  # fmt: skip


def run(tmp_path, node=None, reported=None, **settings):
    context = Context("a", tmp_path, settings, warn=(reported if reported is not None else []).append)
    return (node or Lines()).run(None, {"words": Words(WORDS)}, context)


def texts(outputs):
    assert outputs["text"].text.split("\n") == [line.text for line in outputs["lines"].words]
    return outputs["text"].text.split("\n")


def test_lines_end_at_sentences_and_pauses(tmp_path):
    made = run(tmp_path)
    assert texts(made) == ["Hello world.", "This is", "it"]
    assert [(line.start, line.end) for line in made["lines"].words] == [(0.0, 0.9), (1.0, 1.3), (2.5, 2.8)]


def test_a_mapping_is_found_whatever_case_and_marks(tmp_path):
    (tmp_path / "t.json").write_text(json.dumps({"hello, WORLD": "Hallo Welt.\n", "this is": "das ist"}))
    reported = []
    made = run(tmp_path, Lines(translations=str(tmp_path / "t.json"), language="de"), reported)
    assert texts(made) == ["Hallo Welt.", "das ist", "it"]
    assert made["text"].language == made["lines"].language == "de"
    assert "1 of 3 lines" in reported[0]


def test_the_items_own_file_outranks_the_knob_and_may_be_csv(tmp_path):
    (tmp_path / "t.csv").write_text("line,translation\nHello world.,Bonjour\nThis is,c'est\nit,ça\n", encoding="utf-8")
    made = run(tmp_path, Lines(translations="absent.json"), translations=str(tmp_path / "t.csv"), dub_language="fr")
    assert texts(made) == ["Bonjour", "c'est", "ça"]
    assert made["text"].language == "fr"


def test_a_list_is_taken_in_order(tmp_path):
    (tmp_path / "t.json").write_text('["eins", "zwei", "drei"]')
    assert texts(run(tmp_path, translations=str(tmp_path / "t.json"))) == ["eins", "zwei", "drei"]


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("t.json", '["eins"]', "1 translations for 3 lines"),
        ("t.json", "{", "cannot be read"),
        ("t.json", '{"a": 1}', "must be a JSON object"),
        ("t.csv", "a,b\n1,2\n", "no column 'line'"),
        ("t.json", '{"hello word": "x"}', "hello word"),
    ],
)
def test_bad_files_are_refused_by_name(name, content, named, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(TaskFailed, match=named):
        run(tmp_path, Lines(translations=str(tmp_path / name), missing="fail"))


def test_a_language_without_spaces_gets_none(tmp_path):
    words = [Word(text, at / 5, at / 5 + 0.2) for at, text in enumerate("今日はいい天気。また明日")]
    made = Lines().run(None, {"words": Words(tuple(words), "ja")}, Context("a", tmp_path))
    assert texts(made) == ["今日はいい天気。", "また明日"]


def test_no_words_is_refused(tmp_path):
    with pytest.raises(TaskFailed, match="nothing to dub"):
        Lines().run(None, {"words": Words(())}, Context("a", tmp_path))


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0.05, 2), st.sampled_from(["a", "b.", "c"])), max_size=30))
def test_every_word_is_in_one_line_and_lines_keep_to_their_rules(steps):
    words, now = [], 0.0
    for silence, length, text in steps:
        words.append(Word(text, now + silence, now + silence + length))
        now += silence + length
    lines = grouped(words, 0.6, 6.0)
    assert " ".join(line.text for line in lines) == " ".join(word.text for word in words)
    assert all(line.end - line.start <= 6.0 for line in lines)
    for line, after in itertools.pairwise(lines):
        assert after.start - line.end >= 0.6 or line.text.endswith(".") or _first_end(after, words) - line.start > 6.0


def _first_end(line, words):
    return next(word.end for word in words if word.start == line.start)
