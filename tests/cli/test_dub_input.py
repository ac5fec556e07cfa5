"""What people say and whose voice they bring: `pipeline=dub` with the variants that need no weights answers with sound or a sentence."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.apps import streams

DUB = ("pipeline=dub", "device=cpu", "tier=modest", "model/speak=espeak", "model/convert=world", "memory_plot=false")
STUB = ("pipeline=dub", "tier=streams", "device=simulated", "device.total=1GiB", "memory_plot=false")
RATE = 16000


def record():
    (path,) = Path("outputs").rglob("run.json")
    return json.loads(path.read_text(encoding="utf-8"))


def sounds():
    return [path for path in Path("outputs").rglob("artifacts/**/*") if path.suffix == ".wav"]


def hum(seconds, hertz=220.0):
    """Something with a pitch and overtones, as a voice has them."""
    times = np.arange(int(seconds * RATE)) / RATE
    return sum(0.2 / k * np.sin(2 * np.pi * k * hertz * times) for k in (1, 2, 3, 4))


@pytest.mark.parametrize("text", ["", "   ", "😀😀 🎉", "...!?—", "\u200b\u200d"])
def test_nothing_that_can_be_said_is_a_sentence(headroom, text):
    result = headroom("run", *DUB, f"text={text}")
    assert result.code == 1, result.err
    assert "nothing that can be said" in result.err.splitlines()[-1]
    assert "Traceback" not in result.err
    assert record()["status"] == "failed"
    assert sounds() == []


@pytest.mark.parametrize(
    "text",
    [
        "Hello, Привет, 你好, مرحبا, こんにちは and नमस्ते.",
        "A bell\x07 and an escape\x1b[31m in\tthe\r\nmiddle\x7f.",
        "Right \u202eto left\u202c, e\u0301 and ﬁ.",
    ],
)
def test_mixed_scripts_and_control_characters_are_spoken(headroom, text):
    result = headroom("run", *DUB, f"text={text}")
    assert result.code == 0, result.err
    (report,) = record()["stream"].values()
    assert report["audio_seconds"] > 0.5
    for path in sounds():
        assert path.name.isprintable()
        assert path.resolve().is_relative_to(Path("outputs").resolve())


def test_a_null_character_can_come_from_a_table(headroom):
    Path("t.jsonl").write_text(json.dumps({"text": "Before\x00after.", "name": "a\x00b"}) + "\n", encoding="utf-8")
    result = headroom("run", *DUB, "input=t.jsonl")
    assert result.code == 0, result.err


def test_a_hundred_thousand_characters_are_planned(headroom):
    text = "All work and no play makes a dull text. " * 2500
    result = headroom("plan", *DUB, f"text={text}")
    assert result.code == 0, result.err
    assert "speak+convert+wav" in result.out.replace("\n", "")


def test_a_hundred_thousand_characters_stream_in_bounded_pieces(headroom, monkeypatch):
    message, converted = [], []
    stream, run = streams.Say.stream, streams.Double.run

    def counted(self, *given):
        made = stream(self, *given)
        while True:
            try:
                message.append(next(made))
            except StopIteration as ended:
                return ended.value
            yield message[-1]

    def noted(self, *given):
        converted.append(len(message))
        return run(self, *given)

    monkeypatch.setattr(streams.Say, "stream", counted)
    monkeypatch.setattr(streams.Double, "run", noted)
    text = " ".join(["a" * 99] * 1000)
    result = headroom("run", *STUB, f"text={text}", toy=True)
    assert result.code == 0, result.err
    (report,) = record()["stream"].values()
    assert report["audio_seconds"] == pytest.approx(200.0)
    assert report["chunks"] >= 200 / 9  # a piece is 8 s at most
    assert converted[0] <= 10, "the first sound does not wait for a thousand words"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (None, "there is no such file"),
        (lambda path: path.write_text("not a sound", encoding="utf-8"), "voice.wav"),
        (lambda path: path.write_bytes(b""), "voice.wav"),
        (lambda path: soundfile.write(path, np.zeros(3 * RATE), RATE), "no voiced sound"),
        (lambda path: soundfile.write(path, hum(0.1), RATE), "no voiced sound in the 0.1 s"),
        (lambda path: soundfile.write(path, np.full(RATE, np.nan), RATE, subtype="FLOAT"), "not numbers"),
    ],
    ids=["missing", "no sound file", "empty", "silent", "too short", "not numbers"],
)
def test_a_voice_that_is_none_is_named(headroom, make, words):
    if make is not None:
        make(Path("voice.wav"))
    result = headroom("run", *DUB, "text=Hello there.", "voice=voice.wav")
    assert result.code == 1, result.err
    assert words in result.err.splitlines()[-1]
    assert "Traceback" not in result.err
    assert [path.parent.name for path in sounds()] in ([], ["speak"])


def test_half_a_second_with_a_pitch_is_voice_enough_for_world(headroom):
    soundfile.write("voice.wav", hum(0.5), RATE)
    assert headroom("run", *DUB, "text=Hello there.", "voice=voice.wav").code == 0


@pytest.mark.slow
def test_ten_minutes_of_voice_take_no_longer_than_what_is_listened_to(headroom):
    """Only the first half minute of a reference is heard: behind it lies what could not be converted to."""
    half = hum(31)
    soundfile.write("long.wav", np.concatenate([half, np.zeros(569 * RATE)]), RATE, subtype="PCM_16")
    soundfile.write("short.wav", half, RATE, subtype="PCM_16")
    made = []
    for name in ("long", "short"):
        result = headroom("run", *DUB, "text=Hello there.", f"voice={name}.wav", f"outputs_dir=outputs/{name}")
        assert result.code == 0, result.err
        (path,) = Path(f"outputs/{name}").rglob("convert/audio.wav")
        made.append(path.read_bytes())
    assert made[0] == made[1]
