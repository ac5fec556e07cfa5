"""Sound is written as it is made, into a folder that need not be there."""

import numpy as np
import soundfile

from nodes.audio.writing import wav_writer


def test_what_is_written_in_pieces_is_read_as_one(tmp_path):
    samples = np.random.default_rng(0).normal(size=(1000, 2)).astype(np.float32)
    with wav_writer(tmp_path / "new" / "a.wav", 8000, 2) as file:
        file.write(samples[:300])
        file.write(samples[300:])
    read, rate = soundfile.read(tmp_path / "new" / "a.wav", dtype="float32")
    assert rate == 8000
    assert np.array_equal(read, samples)
