import json

import numpy as np
import pytest

from pipelines.run.artifacts import _WAV_LIMIT, DONE, Artifacts, _still_clock, read_note
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


def test_equal_files_beside_the_first_come_back_and_have_digests(tmp_path):
    folder = tmp_path / "i" / "n"
    folder.mkdir(parents=True)
    for name in ("song.txt", "cover.jpg"):
        (folder / name).write_text(name, encoding="utf-8")
    value = File(folder / "song.txt", (folder / "cover.jpg",))
    digests = Artifacts(tmp_path).save("i", "n", {"file": value}, ABOUT)
    assert list(digests) == ["song.txt", "cover.jpg"]
    fresh = Artifacts(tmp_path)
    assert fresh.value("i", "n", "file") == value
    assert fresh.content("i", "n", "file") == list(digests.values())


def test_what_was_saved_is_known_without_reading_it_again_and_forgotten_when_it_is_cleared(tmp_path):
    store = Artifacts(tmp_path)
    digests = store.save("i", "n", {"text": Text("x")}, ABOUT)
    (tmp_path / "i" / "n" / DONE).unlink()
    assert store.value("i", "n", "text") == Text("x")
    assert store.content("i", "n", "text") == [digests["text.json"]]
    store.clear("i", "n")
    assert not (tmp_path / "i" / "n").exists()
    for look in (store.value, store.content):
        with pytest.raises(FileNotFoundError):
            look("i", "n", "text")
    store.clear("i", "n")  # there is nothing to clear


def test_what_was_read_once_is_not_read_again(tmp_path):
    Artifacts(tmp_path).save("i", "n", {"text": Text("x")}, ABOUT)
    store = Artifacts(tmp_path)
    first, content = store.value("i", "n", "text"), store.content("i", "n", "text")
    (tmp_path / "i" / "n" / DONE).unlink()
    assert store.value("i", "n", "text") is first
    assert store.content("i", "n", "text") is content


def test_a_note_names_the_settings_that_were_read(tmp_path):
    store = Artifacts(tmp_path)
    store.save("i", "n", {"text": Text("x")}, {**ABOUT, "settings": {"voice": "a", "language": None}})
    assert store.tracked_settings("i", "n") == {"voice", "language"}
    store.save("i", "m", {"text": Text("x")}, ABOUT)
    assert store.tracked_settings("i", "m") == set()


def test_done_only_while_every_file_is_there(tmp_path):
    store = Artifacts(tmp_path)
    store.save("i", "n", {"text": Text("x"), "other": Text("y")}, {**ABOUT, "takes": ("a", "b")})
    assert store.is_done("i", "n", {**ABOUT, "takes": ("a", "b")})
    assert not store.is_done("i", "n", {**ABOUT, "more": 1})
    (tmp_path / "i" / "n" / "other.json").unlink()
    assert not store.is_done("i", "n", ABOUT)


def changed_note(tmp_path, change):
    """The folder of a finished task whose note `change` has been called with."""
    Artifacts(tmp_path).save("i", "n", {"text": Text("x")}, ABOUT)
    path = tmp_path / "i" / "n" / DONE
    note = json.loads(path.read_text(encoding="utf-8"))
    change(note)
    path.write_text(json.dumps(note), encoding="utf-8")
    return path.parent


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda note: note["sha256"].clear(), "has no digest of text.json"),
        (lambda note: note["outputs"]["text"].update(type="poem"), "unknown type 'poem'"),
        (lambda note: note["sha256"].update({"../x": "1"}), "names '../x', which is outside its folder"),
        (lambda note: note["outputs"]["text"].update(beside=["/etc/x"]), "names '/etc/x'"),
        (lambda note: note.pop("outputs"), "is not a note of a finished task"),
        (lambda note: note.update(outputs=[1]), "is not a note of a finished task"),
    ],
)
def test_a_note_that_says_too_little_or_too_much_is_refused(tmp_path, change, words):
    with pytest.raises(InvalidError, match=words):
        read_note(changed_note(tmp_path, change))


def test_a_sound_that_a_node_has_written_itself_stays_where_it_is(tmp_path):
    import soundfile

    folder = tmp_path / "i" / "n"
    folder.mkdir(parents=True)
    soundfile.write(folder / "mine.wav", np.zeros((100, 2), np.float32), 8000, subtype="FLOAT")
    (folder / "mine.flac").write_bytes(b"PEAK and more that is no clock")
    store = Artifacts(tmp_path)
    digests = store.save("i", "n", {"audio": Audio.open(folder / "mine.wav")}, ABOUT)
    assert list(digests) == ["mine.wav"]
    head = (folder / "mine.wav").read_bytes()[:512]
    at = head.find(b"PEAK")
    assert at > 0
    assert head[at + 12 : at + 16] == b"\0\0\0\0"
    _still_clock(folder / "mine.flac")
    assert (folder / "mine.flac").read_bytes() == b"PEAK and more that is no clock"


@pytest.mark.parametrize(("frames", "form"), [(50, "WAV"), (51, "RF64")])
def test_a_sound_too_long_for_a_plain_header_has_a_larger_one(tmp_path, monkeypatch, frames, form):
    import soundfile

    monkeypatch.setattr("pipelines.run.artifacts._WAV_LIMIT", 400)  # bytes: 50 frames of two channels
    samples = np.linspace(-1, 1, 2 * frames, dtype=np.float32).reshape(2, frames)
    store = Artifacts(tmp_path)
    store.save("i", "n", {"audio": Audio.of(samples, 8000)}, ABOUT)
    info = soundfile.info(str(tmp_path / "i" / "n" / "audio.wav"))
    assert (info.format, info.samplerate, info.channels) == (form, 8000, 2)
    np.testing.assert_array_equal(Artifacts(tmp_path).value("i", "n", "audio").read(), samples)


def test_notes_and_words_keep_every_field(tmp_path):
    notes = Notes((Note(0.0, 1.0, 60, " la"),), 120.5, "fr", "D minor", (1.5, 2.5))
    Artifacts(tmp_path).save("i", "n", {"notes": notes, "words": Words((), "de")}, ABOUT)
    assert Artifacts(tmp_path).value("i", "n", "notes") == notes
    assert Artifacts(tmp_path).value("i", "n", "words") == Words((), "de")


def test_only_what_the_disk_refuses_is_called_that(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipelines.run.artifacts.write_atomic", full)
    with pytest.raises(SurroundingsFailed, match=r"cannot be written \(No space left on device\)"):
        Artifacts(tmp_path).save("i", "n", {"text": Text("x")}, ABOUT)
    assert not Artifacts(tmp_path).is_done("i", "n", ABOUT)


def test_a_plain_header_is_used_only_where_its_32_bits_can_say_the_length():
    assert _WAV_LIMIT + 4096 < 2**32
