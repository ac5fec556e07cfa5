"""Sound files for the tests of inputs."""

import numpy as np
import pytest
import soundfile

from tests.inputs.helpers import RATE


@pytest.fixture
def sound(tmp_path):
    """Writes a file of silence, or of `data`, and gives its path."""

    def write(name, seconds=0.5, channels=1, data=None):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = np.zeros((int(seconds * RATE), channels)) if data is None else data
        soundfile.write(str(path), samples, RATE)
        return path

    return write
