import json

import numpy as np
import pytest
import soundfile

from pipelines.inputs.items import find_items, open_audio, quiet
from pipelines.schema.errors import TaskFailed, UsageError

RATE = 8000


@pytest.fixture
def sound(tmp_path):
    def write(name, seconds=0.5, channels=1, data=None):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = np.zeros((int(seconds * RATE), channels)) if data is None else data
        soundfile.write(str(path), samples, RATE)
        return path

    return write


def items(spec, text=None, ports=("audio",)):
    return find_items(str(spec) if spec else None, text, {}, ports)


def test_a_file_is_an_item_with_its_header_s_figures(sound):
    (item,) = items(sound("a song, with accents é.flac", seconds=1.25, channels=2))
    assert (item.name, item.seconds, item.channels) == ("a song, with accents é", 1.25, 2)


def test_folders_and_globs_are_sorted_and_skip_what_is_not_sound(sound, tmp_path):
    for name in ("b.wav", "a.ogg", "notes.txt.wav", ".hidden.wav"):
        sound(f"songs/{name}")
    (tmp_path / "songs" / "cover.jpg").write_bytes(b"x")
    assert [item.name for item in items(tmp_path / "songs")] == ["a", "b", "notes.txt"]
    assert [item.name for item in items(tmp_path / "songs" / "*.ogg")] == ["a"]


def test_two_inputs_of_one_stem_get_two_names(sound, tmp_path):
    sound("x/song.wav"), sound("y/song.wav"), sound("z/Song.wav")
    found = find_items(
        [str(tmp_path / d / n) for d, n in (("x", "song.wav"), ("y", "song.wav"), ("z", "Song.wav"))],
        None,
        {},
        ["audio"],
    )
    assert len({item.name.casefold() for item in found}) == 3


def test_tables_carry_settings_and_name_files_beside_them(sound, tmp_path):
    sound("one.wav")
    (tmp_path / "t.csv").write_text("input,language,lyrics\none.wav,de,la la\n", encoding="utf-8")
    (tmp_path / "t.jsonl").write_text(json.dumps({"text": "Hallo, Welt", "language": "de"}) + "\n", encoding="utf-8")
    (row,) = items(tmp_path / "t.csv")
    assert row.settings == {"language": "de", "lyrics": "la la"}
    (said,) = items(tmp_path / "t.jsonl", ports=("text",))
    assert (said.name, said.characters, said.path) == ("Hallo-Welt", 11, None)


@pytest.mark.parametrize("line", ["[1]", "{", '{"input": "none.wav"}'])
def test_bad_rows_name_the_line(tmp_path, line):
    (tmp_path / "t.jsonl").write_text(line + "\n", encoding="utf-8")
    with pytest.raises((UsageError, TaskFailed), match=r"t\.jsonl, (line|row) 1"):
        items(tmp_path / "t.jsonl")


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(TaskFailed, match="There is no file"):
        items(tmp_path / "none.wav")
    with pytest.raises(TaskFailed, match="No file matches"):
        items(tmp_path / "*.wav")
    with pytest.raises(UsageError, match="input=FILE"):
        items(None)
    with pytest.raises(UsageError, match="no sound files"):
        items(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"this is not sound" * 99, b"RIFF\x24\x00\x00\x00WAVEfmt "], ids=["empty", "text", "cut"]
)
def test_files_that_hold_no_sound(tmp_path, content):
    path = tmp_path / "x.wav"
    path.write_bytes(content)
    with pytest.raises(TaskFailed, match=r"x\.wav"):
        items(path)


def test_zero_length_is_said(sound):
    with pytest.raises(TaskFailed, match="length is zero"):
        items(sound("none.wav", seconds=0))


def test_nan_is_refused_with_its_place(tmp_path, sound):
    data = np.zeros((RATE, 1), dtype=np.float32)
    data[RATE // 4] = np.nan
    path = tmp_path / "nan.wav"
    soundfile.write(str(path), data, RATE, subtype="FLOAT")
    with pytest.raises(TaskFailed, match=r"not numbers \(the first at 0\.25 s\)"):
        open_audio(path, tmp_path / "work")


@pytest.mark.parametrize(("container", "codec"), [("m4a", "aac"), ("opus", "libopus"), ("mp3", "libmp3lame")])
def test_compressed_containers_are_read(tmp_path, container, codec):
    import av

    path = tmp_path / f"x.{container}"
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(48000) / 48000)).astype(np.float32)
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=48000, layout="mono")
        for start in range(0, 48000, 960):
            frame = av.AudioFrame.from_ndarray(tone[None, start : start + 960], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48000, start
            out.mux(stream.encode(av.AudioResampler(stream.format.name, "mono", 48000).resample(frame)[0]))
        out.mux(stream.encode(None))
    (item,) = items(path)
    samples = open_audio(path, tmp_path / "work").mono()
    assert item.seconds == pytest.approx(1.0, abs=0.1)
    spectrum = np.abs(np.fft.rfft(samples[4800:43200]))
    assert np.argmax(spectrum) * 48000 / 38400 == pytest.approx(440, abs=2)


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("a.jsonl", '{"text": {"a": 1}}', "row 1: text must be text"),
        ("a.jsonl", '{"text": ["a"]}', "row 1: text must be text"),
        ("a.jsonl", "[" * 100_000, "line 1 is not JSON"),
        ("a.csv", "text,name\na,b,c\n", "row 1 has more cells"),
        ("a.csv", 'text\n"never closed\n', "is not CSV"),
        ("a.jsonl", '{"input": "\\u0000.wav"}', "there is no file"),
    ],
)
def test_hostile_tables_are_refused_with_their_row(tmp_path, name, body, said):
    (tmp_path / name).write_text(body, encoding="utf-8")
    with pytest.raises((UsageError, TaskFailed), match=said):
        items(tmp_path / name, ports=("text",))


def test_rows_may_hold_long_texts_line_breaks_and_semicolons(tmp_path):
    long = "a " * 100_000
    (tmp_path / "t.csv").write_text(f'name;text\nlong;{long}\ntwo;"one\nline; more"\n', encoding="utf-8")
    first, second = items(tmp_path / "t.csv", ports=("text",))
    assert (first.name, first.characters) == ("long", len(long))
    assert second.settings["text"] == "one\nline; more"


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
        find_items(None, "hello", {"voice": "/nope.wav"}, ("text", "voice"))
    with pytest.raises(UsageError, match="not one text"):
        find_items(None, ["a", "b"], {}, ("text",))


@pytest.mark.parametrize("spec", ["", " ", "/dev/zero", "x" * 5000, "a\0b"])
def test_what_is_no_file_is_said_to_be_none(spec):
    with pytest.raises((UsageError, TaskFailed)) as caught:
        find_items(spec, None, {}, ("audio",))
    assert "is empty" not in str(caught.value)


def test_an_mp3_that_breaks_off_has_the_sound_that_is_there_and_is_told(tmp_path, capfd):
    """libsndfile believes the header's length and reads fewer frames than that; mpg123 writes notes of its own."""
    path = tmp_path / "a.mp3"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.3, 0.3, 4 * RATE), RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    told = []
    (item,) = items(path)
    with quiet(path):
        audio = open_audio(path, tmp_path / "work", told.append)
    assert item.seconds == pytest.approx(4, abs=0.1)
    assert audio.mono().size == audio.frames
    assert audio.seconds == pytest.approx(2, abs=0.2)
    assert told == [
        f"{path} breaks off: its header promises 4.0 s, and the {audio.seconds:.1f} s that are there are used."
    ]
    assert capfd.readouterr().err == ""


def test_where_a_file_breaks_off_is_told_to_the_second(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 8 * RATE), RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(TaskFailed, match=r"breaks off at [34]\.0 s \(flac decoder lost sync\)\."):
        open_audio(path, tmp_path / "work")


def test_a_missing_input_names_the_nearest_and_how_to_give_several(sound, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sound("song.wav"), sound("b.wav")
    with pytest.raises(TaskFailed, match=r"There is no file 'sonng\.wav'\. Did you mean 'song\.wav'\?"):
        items("sonng.wav")
    with pytest.raises(TaskFailed, match=r"'input=\[song\.wav,b\.wav\]'"):
        items("song.wav,b.wav")
    assert len(find_items(["song.wav", "b.wav"], None, {}, ["audio"])) == 2


@pytest.mark.parametrize("key", ["voice", "translations"])
@pytest.mark.parametrize(
    ("name", "said"), [("a" * 300, "File name too long"), (".", "it is a folder"), ("no", "no such file")]
)
def test_files_that_settings_name_are_looked_for_before_anything_runs(sound, key, name, said):
    with pytest.raises(TaskFailed, match=rf"^{key}={name} cannot be opened: .*{said}"):
        find_items(str(sound("a.wav")), None, {key: name}, ["audio", "voice"])


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


def test_a_voice_that_is_no_sound_is_told_before_anything_runs(tmp_path):
    (tmp_path / "v.wav").write_text("no sound", encoding="utf-8")
    ports = {"text": "text", "voice": "audio"}
    with pytest.raises(TaskFailed, match=r"v\.wav cannot be read as sound"):
        find_items(None, "hello", {"voice": str(tmp_path / "v.wav")}, ports)
