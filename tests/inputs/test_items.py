"""Items: names, settings and what a pipeline takes from them."""

import pytest

from pipelines.inputs.items import find_items
from pipelines.schema.errors import TaskFailed, UsageError
from tests.inputs.helpers import items


def test_a_file_is_an_item_with_its_header_s_figures(sound):
    (item,) = items(sound("a song, with accents é.flac", seconds=1.25, channels=2))
    assert (item.name, item.seconds, item.channels) == ("a song, with accents é", 1.25, 2)


def test_two_inputs_of_one_stem_get_two_names(sound, tmp_path):
    sound("x/song.wav"), sound("y/song.wav"), sound("z/Song.wav")
    found = find_items(
        [str(tmp_path / d / n) for d, n in (("x", "song.wav"), ("y", "song.wav"), ("z", "Song.wav"))],
        None,
        {},
        {"audio": "audio"},
    )
    assert len({item.name.casefold() for item in found.items}) == 3


def test_what_cannot_be_read_is_left_out_where_one_keeps_going(sound, tmp_path):
    (tmp_path / "b.wav").write_text("no sound", encoding="utf-8")
    spec, ports = [str(sound("a.wav")), str(tmp_path / "b.wav")], {"audio": "audio"}
    with pytest.raises(TaskFailed, match=r"b\.wav cannot be read"):
        find_items(spec, None, {}, ports)
    found = find_items(spec, None, {}, ports, keep_going=True)
    assert [item.name for item in found.items] == ["a"]
    assert [(name, "b.wav cannot be read" in str(error)) for name, error in found.unreadable.items()] == [("b", True)]
    with pytest.raises(TaskFailed, match=r"b\.wav cannot be read"):
        find_items(spec[1:], None, {}, ports, keep_going=True)


def test_numbers_are_texts_too(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"text": 1984, "name": 5}\n')
    (item,) = items(tmp_path / "t.jsonl", ports=("text",))
    assert (item.name, item.settings["text"]) == ("5", "1984")


def test_what_the_pipeline_takes_must_be_there_before_planning(sound, tmp_path):
    with pytest.raises(UsageError, match="has no text"):
        items(sound("a.wav"), ports=("text",))
    with pytest.raises(UsageError, match="has no sound"):
        items(None, text="hello", ports=("audio",))
    with pytest.raises(TaskFailed, match="no such file"):
        find_items(None, "hello", {"voice": "/nope.wav"}, {"text": "text", "voice": "audio"})
    with pytest.raises(UsageError, match="not one text"):
        find_items(None, ["a", "b"], {}, {"text": "text"})


@pytest.mark.parametrize("key", ["voice", "translations"])
@pytest.mark.parametrize(
    ("name", "message"), [("a" * 300, "File name too long"), (".", "it is a folder"), ("no", "no such file")]
)
def test_files_that_settings_name_are_looked_for_before_anything_runs(sound, key, name, message):
    with pytest.raises(TaskFailed, match=rf"^{key}={name} cannot be opened: .*{message}"):
        find_items(str(sound("a.wav")), None, {key: name}, {"audio": "audio", "voice": "file"})


def test_a_voice_that_is_no_sound_is_told_before_anything_runs(tmp_path):
    (tmp_path / "v.wav").write_text("no sound", encoding="utf-8")
    ports = {"text": "text", "voice": "audio"}
    with pytest.raises(TaskFailed, match=r"v\.wav cannot be read as sound"):
        find_items(None, "hello", {"voice": str(tmp_path / "v.wav")}, ports)
