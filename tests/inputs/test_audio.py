"""Opening a sound file: whole, finite, decoded where need be."""

import numpy as np
import pytest
import soundfile

from pipelines.inputs.audio import open_audio
from pipelines.inputs.decoders import quiet
from pipelines.schema.errors import TaskFailed
from tests.inputs.helpers import RATE, items


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


def test_an_mp3_that_breaks_off_has_the_sound_that_is_there_and_is_told(tmp_path, capfd):
    """libsndfile believes the header's length and reads fewer frames than that; mpg123 writes notes of its own."""
    path = tmp_path / "a.mp3"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.3, 0.3, 4 * RATE), RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    reported = []
    (item,) = items(path)
    with quiet(path):
        audio = open_audio(path, tmp_path / "work", reported.append)
    assert item.seconds == pytest.approx(4, abs=0.1)
    assert audio.mono().size == audio.frames
    assert audio.seconds == pytest.approx(2, abs=0.2)
    assert reported == [
        f"{path} breaks off: its header promises 4.0 s, and the {audio.seconds:.1f} s that are there are used."
    ]
    assert capfd.readouterr().err == ""


def test_where_a_file_breaks_off_is_told_to_the_second(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 8 * RATE), RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(TaskFailed, match=r"breaks off at [34]\.0 s \(flac decoder lost sync\)\."):
        open_audio(path, tmp_path / "work")
