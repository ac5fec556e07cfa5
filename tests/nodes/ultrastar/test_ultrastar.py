"""What the node leaves is a conform song whose times and pitches are the notes' own."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.ultrastar import Song
from nodes.ultrastar.song import names
from nodes.ultrastar.write import FINEST_BPM, chorus, quantise, song_text, written_bpm
from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Context
from pipelines.schema.values import Audio, Note, Notes
from tests.ultrastar_reader import NotConform, read

TUNE = Notes(
    notes=(
        Note(1.234, 1.6, 60, " Oh"),
        Note(1.6, 2.1, 65, " mo"),
        Note(2.1, 2.5, 64, "ther"),
        Note(2.5, 2.9, 62, "~"),
        Note(4.0, 4.9, 58, " sing"),
    ),
    bpm=120.0,
    breaks=(4,),
)


def run(
    folder: Path, notes: Notes = TUNE, item: str = "song", audio: Audio | None = None, **given_settings: object
) -> Path:
    tone = np.sin(np.arange(44100) / 20).astype(np.float32) * 0.3
    context = Context(item=item, folder=folder, settings=given_settings)
    out = Song().run(None, {"notes": notes, "audio": audio or Audio.of(np.stack([tone, -tone]), 44100)}, context)
    assert all(path.is_file() and path.parent == folder for path in (out["song"].path, *out["song"].beside))
    return out["song"].path


def test_the_song_reads_back_with_its_times_pitches_words_and_phrases(tmp_path: Path) -> None:
    song = read(run(tmp_path, artist="Anon", title="Mother", year=1911, genre="Folk"))
    for (start, end, midi, text), note in zip(song.timed, TUNE.notes, strict=True):
        assert start == pytest.approx(note.start, abs=song.beat_seconds / 2 + 1e-3)
        assert end == pytest.approx(note.end, abs=song.beat_seconds / 2 + 1e-3)
        assert (midi, text.strip()) == (note.midi, note.text.strip())
    assert [n.text for n in song.notes] == ["Oh", " mo", "ther", "~", "sing"]
    assert [n.pitch for n in song.notes] == [0, 5, 4, 2, -2]
    assert [index for _, index in song.breaks] == [4]
    assert song.headers["MP3"] == song.headers["AUDIO"] == "Anon - Mother.flac"
    assert (song.headers["YEAR"], song.headers["GENRE"], song.headers["LANGUAGE"]) == ("1911", "Folk", "English")
    assert song.headers["GAP"] == "1234"


def test_the_audio_beside_it_is_the_item_s_own(tmp_path: Path) -> None:
    source = tmp_path / "in put.flac"
    soundfile.write(source, np.zeros((800, 2)), 8000)
    song = read(run(tmp_path / "out", item="in put", audio=Audio.open(source)))
    assert (tmp_path / "out" / song.headers["AUDIO"]).read_bytes() == source.read_bytes()


def test_audio_in_memory_keeps_its_length_and_sound(tmp_path: Path) -> None:
    tone = np.sin(np.arange(70000) / 9).astype(np.float32) * 0.5
    song = read(run(tmp_path, audio=Audio.of(tone, 22050)))
    detected, rate = soundfile.read(tmp_path / song.headers["AUDIO"])
    assert (rate, len(detected)) == (22050, 70000)
    assert np.corrcoef(detected[1000:60000], tone[1000:60000])[0, 1] > 0.99


@pytest.mark.parametrize(
    "item",
    ["Größe & Ñandú", "../../etc/passwd", "a/b\\c", "..", "日本 の歌", "x" * 300, "CON", " - ", "line\nbreak", "-dash"],
)
def test_any_item_name_gives_a_song_inside_its_folder(tmp_path: Path, item: str) -> None:
    folder = tmp_path / "task"
    read(run(folder, item=item))
    assert {p.name for p in tmp_path.iterdir()} == {"task"}
    assert all(not p.name.startswith((".", "-")) for p in folder.iterdir())


def test_a_header_cannot_bring_lines_of_its_own(tmp_path: Path) -> None:
    song = read(run(tmp_path, title="A\n#BPM:1\r\n: 0 1 1 x\u2028y", artist="B\x00\x85C", genre="#E\nE"))
    assert song.headers["TITLE"] == "A #BPM:1 : 0 1 1 x y"
    assert len(song.notes) == len(TUNE.notes)


def test_a_syllable_cannot_either(tmp_path: Path) -> None:
    notes = Notes((Note(0, 1, 60, " a\n- 3"), Note(1, 2, 60, "\n")), bpm=100.0)
    assert [n.text for n in read(run(tmp_path, notes)).notes] == ["a - 3", "~"]


def test_no_note_is_a_failure_with_advice(tmp_path: Path) -> None:
    with pytest.raises(TaskFailed, match="No sung note"):
        run(tmp_path, Notes((), bpm=120.0))


def test_a_cover_is_copied_and_anything_else_refused(tmp_path: Path) -> None:
    picture = tmp_path / "me.png"
    picture.write_bytes(b"png")
    assert read(run(tmp_path / "a", cover=str(picture), title="T")).headers["COVER"] == "T [CO].png"
    with pytest.raises(TaskFailed, match="not a picture"):
        run(tmp_path / "b", cover="/etc/passwd")


def test_an_item_called_artist_dash_title_says_both() -> None:
    assert names({}, "Newton - Amazing Grace - live") == ("Newton", "Amazing Grace - live")
    assert names({"title": "Grace"}, "Newton - Amazing Grace") == ("Newton", "Grace")
    assert names({}, "track01") == ("", "track01")


@given(st.floats(30, 300))
def test_the_written_tempo_is_a_multiple_as_fine_as_allowed(bpm: float) -> None:
    written = written_bpm(bpm)
    assert FINEST_BPM / 2 - 1 < written <= FINEST_BPM
    assert written / bpm == pytest.approx(round(written / bpm), abs=1e-3)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.floats(0, 0.4), st.floats(0.0, 0.5), st.integers(30, 90)), min_size=1, max_size=60),
    st.floats(40, 230),
    st.floats(0, 90),
)
def test_beats_ascend_never_overlap_are_never_empty_and_do_not_drift(
    steps: list[tuple[float, float, int]], bpm: float, lead: float
) -> None:
    """Notes as short and close as can be; where they are further apart than a beat each is within half of one."""
    now, notes = lead, []
    for rest, length, midi in steps:
        notes.append(Note(now + rest, now + rest + length, midi, " a"))
        now += rest + length
    written = written_bpm(bpm)
    beat, gap = 60 / (4 * written), round(notes[0].start * 1000) / 1000
    lines = quantise(notes, written, gap)
    assert all(line.length >= 1 for line in lines)
    assert all(a.end <= b.start for a, b in itertools.pairwise(lines))
    spaced = all(b.start - a.start > beat for a, b in itertools.pairwise(notes))
    if spaced:
        assert all(abs(gap + line.start * beat - n.start) <= beat + 1e-3 for line, n in zip(lines, notes, strict=True))


def test_a_long_song_does_not_drift() -> None:
    notes = [Note(10 + 0.37 * i, 10 + 0.37 * i + 0.3, 60, " a") for i in range(2000)]
    written = written_bpm(113.7)
    beat = 60 / (4 * written)
    error = [
        10 + line.start * beat - note.start for line, note in zip(quantise(notes, written, 10.0), notes, strict=True)
    ]
    assert max(map(abs, error)) <= beat / 2 + 1e-9


def test_a_medley_is_the_part_that_comes_again(tmp_path: Path) -> None:
    verse = ["one", "la la", "ding dong", "two", "la la", "ding dong", "three"]
    notes = tuple(Note(5.0 * i, 5.0 * i + 4, 60, " " + text) for i, text in enumerate(verse))
    song = Notes(notes, bpm=100.0, breaks=tuple(range(1, 7)))
    assert chorus(song) == (1, 2)
    document = read(run(tmp_path, song))
    assert document.seconds(int(document.headers["MEDLEYSTARTBEAT"])) == pytest.approx(5, abs=0.05)
    assert document.seconds(int(document.headers["MEDLEYENDBEAT"])) == pytest.approx(14, abs=0.05)
    assert chorus(TUNE) is None
    assert "MEDLEY" not in song_text(TUNE, {})


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ((": 0 ", ": 0.5 "), "neither a note"),
        (("\nE\n", "\n"), "nor the end"),
        (("#BPM:480\n", ""), "#BPM is missing"),
        (("#AUDIO:", "#AUDIO:../"), "not a file beside"),
        ((": 8", ": 1"), "overlaps"),
    ],
)
def test_the_reader_refuses_what_is_not_conform(tmp_path: Path, change: tuple[str, str], complaint: str) -> None:
    path = run(tmp_path)
    text = path.read_text(encoding="utf-8")
    assert change[0] in text
    path.write_text(text.replace(change[0], change[1], 1), encoding="utf-8")
    with pytest.raises(NotConform, match=complaint):
        read(path)
