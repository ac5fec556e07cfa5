"""Files that break off, and files that only seem to."""

import struct

import numpy as np
import pytest
import soundfile

from pipelines.inputs.truncation import Shortfall, shortfall

RATE = 8000


def written(path, subtype="PCM_16", channels=2, **more):
    soundfile.write(path, np.full((4 * RATE, channels), 0.1), RATE, subtype, **more)
    return path


@pytest.mark.parametrize(("subtype", "size"), [("PCM_16", 2), ("PCM_24", 3), ("FLOAT", 4), ("ULAW", 1)])
def test_what_is_missing_is_told_in_seconds(tmp_path, subtype, size):
    path = written(tmp_path / "a.wav", subtype)
    assert shortfall(path) is None
    whole = path.read_bytes()
    begin = whole.index(b"data") + 8
    path.write_bytes(whole[: begin + size * 2 * RATE])
    short = shortfall(path)
    assert short == Shortfall(promised=4.0, there=1.0)
    assert short.there == soundfile.info(path).duration


@pytest.mark.parametrize("form", ["AIFF", "AU", "W64"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_other_containers_that_break_off_are_known_too(tmp_path, form, subtype):
    path = written(tmp_path / "a.x", subtype, format=form)
    assert shortfall(path) is None
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    short = shortfall(path)
    assert short.promised == pytest.approx(4.0, abs=0.01)
    assert short.there == soundfile.info(path).duration == pytest.approx(2.0, abs=0.01)
    for length in range(0, 200, 3):
        path.write_bytes(whole[:length])
        shortfall(path)  # headers that break off are no error


def test_chunks_before_and_after_the_sound_are_no_sound(tmp_path):
    path = written(tmp_path / "a.wav")
    whole = path.read_bytes()
    at = whole.index(b"data")
    extra = b"LIST" + struct.pack("<I", 5) + b"data!\0"  # of odd length, and it says `data` inside
    path.write_bytes(whole[:at] + extra + whole[at:] + extra)
    assert shortfall(path) is None
    path.write_bytes(whole[:at] + extra + whole[at : at + 8 + 4 * RATE])
    assert shortfall(path) == Shortfall(4.0, 1.0)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF024, 0])
def test_a_length_that_was_not_known_promises_nothing(tmp_path, size):
    path = written(tmp_path / "a.wav")
    whole = bytearray(path.read_bytes())
    at = whole.index(b"data") + 4
    whole[at : at + 4] = struct.pack("<I", size)
    path.write_bytes(whole)
    assert shortfall(path) is None


@pytest.mark.parametrize("form", ["RF64", "FLAC", "CAF"])
def test_other_files_are_not_looked_into(tmp_path, form):
    path = written(tmp_path / "a.x", format=form)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert shortfall(path) is None


def test_headers_that_break_off_are_no_error(tmp_path):
    path = written(tmp_path / "a.wav")
    whole = path.read_bytes()
    begin = whole.index(b"data") + 8
    for length in range(begin):
        path.write_bytes(whole[:length])
        assert shortfall(path) is None
    path.write_bytes(whole[:begin])  # no sound at all, which is said of it anyway
    assert shortfall(path) is None
