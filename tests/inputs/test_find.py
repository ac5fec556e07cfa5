"""What `input=` may name."""

import pytest

from pipelines.inputs.items import find_items
from pipelines.schema.errors import TaskFailed, UsageError
from tests.inputs.helpers import items


def test_folders_and_globs_are_sorted_and_skip_what_is_not_sound(sound, tmp_path):
    for name in ("b.wav", "a.ogg", "notes.txt.wav", ".hidden.wav"):
        sound(f"songs/{name}")
    (tmp_path / "songs" / "cover.jpg").write_bytes(b"x")
    assert [item.name for item in items(tmp_path / "songs")] == ["a", "b", "notes.txt"]
    assert [item.name for item in items(tmp_path / "songs" / "*.ogg")] == ["a"]


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(TaskFailed, match="There is no file"):
        items(tmp_path / "none.wav")
    with pytest.raises(TaskFailed, match="No file matches"):
        items(tmp_path / "*.wav")
    with pytest.raises(UsageError, match="input=FILE"):
        items(None)
    with pytest.raises(UsageError, match="no sound files"):
        items(tmp_path)


@pytest.mark.parametrize("spec", ["", " ", "/dev/zero", "x" * 5000, "a\0b"])
def test_what_is_no_file_is_said_to_be_none(spec):
    with pytest.raises((UsageError, TaskFailed)) as caught:
        find_items(spec, None, {}, {"audio": "audio"})
    assert "is empty" not in str(caught.value)


def test_a_missing_input_names_the_nearest_and_how_to_give_several(sound, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sound("song.wav"), sound("b.wav")
    with pytest.raises(TaskFailed, match=r"There is no file 'sonng\.wav'\. Did you mean 'song\.wav'\?"):
        items("sonng.wav")
    with pytest.raises(TaskFailed, match=r"'input=\[song\.wav,b\.wav\]'"):
        items("song.wav,b.wav")
    assert len(find_items(["song.wav", "b.wav"], None, {}, {"audio": "audio"}).items) == 2
