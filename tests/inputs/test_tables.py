"""Tables of inputs: rows become files and settings, or are refused with their place."""

import json

import pytest

from pipelines.schema.errors import TaskFailed, UsageError
from tests.inputs.helpers import items


def test_tables_carry_settings_and_name_files_beside_them(sound, tmp_path):
    sound("one.wav")
    (tmp_path / "t.csv").write_text("input,language,lyrics\none.wav,de,la la\n", encoding="utf-8")
    (tmp_path / "t.jsonl").write_text(json.dumps({"text": "Hallo, Welt", "language": "de"}) + "\n", encoding="utf-8")
    (row,) = items(tmp_path / "t.csv")
    assert row.settings == {"language": "de", "lyrics": "la la"}
    (message,) = items(tmp_path / "t.jsonl", ports=("text",))
    assert (message.name, message.characters, message.path) == ("Hallo-Welt", 11, None)


@pytest.mark.parametrize("line", ["[1]", "{", '{"input": "none.wav"}'])
def test_bad_rows_name_the_line(tmp_path, line):
    (tmp_path / "t.jsonl").write_text(line + "\n", encoding="utf-8")
    with pytest.raises((UsageError, TaskFailed), match=r"t\.jsonl, (line|row) 1"):
        items(tmp_path / "t.jsonl")


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("a.jsonl", '{"text": {"a": 1}}', "row 1: text must be text"),
        ("a.jsonl", '{"text": ["a"]}', "row 1: text must be text"),
        ("a.jsonl", "[" * 100_000, "line 1 is not JSON"),
        ("a.csv", "text,name\na,b,c\n", "row 1 has more cells"),
        ("a.csv", 'text\n"never closed\n', "is not CSV"),
        ("a.jsonl", '{"input": "\\u0000.wav"}', "there is no file"),
    ],
)
def test_hostile_tables_are_refused_with_their_row(tmp_path, name, body, message):
    (tmp_path / name).write_text(body, encoding="utf-8")
    with pytest.raises((UsageError, TaskFailed), match=message):
        items(tmp_path / name, ports=("text",))


def test_rows_may_hold_long_texts_line_breaks_and_semicolons(tmp_path):
    long = "a " * 100_000
    (tmp_path / "t.csv").write_text(f'name;text\nlong;{long}\ntwo;"one\nline; more"\n', encoding="utf-8")
    first, second = items(tmp_path / "t.csv", ports=("text",))
    assert (first.name, first.characters) == ("long", len(long))
    assert second.settings["text"] == "one\nline; more"


def test_lyrics_of_a_table_are_words_or_a_file_of_them(sound, tmp_path):
    sound("a.wav")
    (tmp_path / "words.txt").write_text("la la", encoding="utf-8")
    (tmp_path / "t.csv").write_text(
        f"input,lyrics\na.wav,words.txt\na.wav,so so\na.wav,{'la ' * 500}\n", encoding="utf-8"
    )
    assert [item.settings["lyrics"] for item in items(tmp_path / "t.csv")] == ["la la", "so so", "la " * 500]


@pytest.mark.parametrize(("column", "meant"), [("inputs", "input"), ("lirics", "lyrics"), ("Input", "input")])
def test_a_misspelt_column_is_not_ignored(sound, tmp_path, column, meant):
    sound("a.wav")
    other = "name" if meant == "input" else "input"
    (tmp_path / "t.csv").write_text(f"{column},{other}\na.wav,a.wav\n", encoding="utf-8")
    with pytest.raises(UsageError, match=f"t.csv, row 1: there is no column '{column}'. Did you mean '{meant}'"):
        items(tmp_path / "t.csv")


def test_a_column_of_ones_own_is_a_setting(sound, tmp_path):
    sound("a.wav")
    (tmp_path / "t.csv").write_text("input,text,text2,rvc_model\na.wav,x,y,ana\n", encoding="utf-8")
    (item,) = items(tmp_path / "t.csv")
    assert item.settings == {"text": "x", "text2": "y", "rvc_model": "ana"}
