import json

import numpy as np
import pytest

from pipelines.run.artifacts import DONE, Artifacts
from pipelines.schema.errors import InvalidError, SurroundingsFailed
from pipelines.schema.values import Audio, Contour, File, Note, Notes, Text, Word, Words

ABOUT = {"node": "n", "seed": 0}


def values(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "song.txt").write_text("x", encoding="utf-8")
    ramp = np.linspace(-2, 2, 999, dtype=np.float32)  # beyond full scale: must survive
    return {
        "audio": Audio.of(np.stack([ramp, -ramp]), 44100),
        "words": Words((Word("hé", 0.1, 0.2, 0.5),), "fr"),
        "contour": Contour(np.arange(3.0), np.array([1 / 3, 2, 3]), np.zeros(3)),
        "notes": Notes((Note(0.0, 1.0, 60, " la"),), 120.0, "en", "C major", ()),
        "text": Text("héllo", "fr"),
        "file": File(folder / "song.txt"),
    }


def test_every_kind_of_value_comes_back_as_it_was(tmp_path):
    Artifacts(tmp_path).save("i", "n", values(tmp_path / "i" / "n"), ABOUT)
    fresh = Artifacts(tmp_path)
    audio = fresh.value("i", "n", "audio")
    expected = values(tmp_path / "i" / "n")
    np.testing.assert_array_equal(audio.read(), expected["audio"].read())
    for port in ("words", "notes", "text", "file"):
        assert fresh.value("i", "n", port) == expected[port]
    np.testing.assert_array_equal(fresh.value("i", "n", "contour").hertz, [1 / 3, 2, 3])


def test_the_same_values_give_the_same_bytes_at_any_time(tmp_path, monkeypatch):
    import time

    first = Artifacts(tmp_path / "a").save("i", "n", values(tmp_path / "a" / "i" / "n"), ABOUT)
    time.sleep(1.1)  # float WAV files carry a clock with a resolution of one second
    assert Artifacts(tmp_path / "b").save("i", "n", values(tmp_path / "b" / "i" / "n"), ABOUT) == first


def test_done_only_with_the_same_settings_and_untouched_files(tmp_path):
    store = Artifacts(tmp_path)
    assert not store.is_done("i", "n", ABOUT)
    store.save("i", "n", {"text": Text("x")}, ABOUT)
    assert store.is_done("i", "n", ABOUT)
    assert not store.is_done("i", "n", {**ABOUT, "seed": 1})
    (tmp_path / "i" / "n" / "text.json").write_text('{"text": "y", "language": "en"}', encoding="utf-8")
    assert not store.is_done("i", "n", ABOUT)


@pytest.mark.parametrize("name", ["../../../secret.json", "/etc/passwd"])
def test_a_note_from_a_stranger_cannot_name_files_outside(tmp_path, name):
    store = Artifacts(tmp_path)
    store.save("i", "n", {"text": Text("x")}, ABOUT)
    path = tmp_path / "i" / "n" / DONE
    note = json.loads(path.read_text(encoding="utf-8"))
    note["outputs"]["text"]["file"] = name
    path.write_text(json.dumps(note), encoding="utf-8")
    with pytest.raises(InvalidError, match="outside its folder"):
        Artifacts(tmp_path).value("i", "n", "text")
    assert not Artifacts(tmp_path).is_done("i", "n", ABOUT)


def test_a_node_s_file_outside_its_folder_is_refused(tmp_path):
    (tmp_path / "elsewhere.txt").write_text("x", encoding="utf-8")
    with pytest.raises(InvalidError, match="outside its own folder"):
        Artifacts(tmp_path / "a").save("i", "n", {"file": File(tmp_path / "elsewhere.txt")}, ABOUT)


def test_a_disk_that_does_not_take_it_is_said(tmp_path, monkeypatch):
    (tmp_path / "i").write_text("a file where a folder must be", encoding="utf-8")
    with pytest.raises(SurroundingsFailed, match="cannot be written"):
        Artifacts(tmp_path).save("i", "n", {"text": Text("x")}, ABOUT)
