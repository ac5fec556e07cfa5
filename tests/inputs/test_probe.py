"""Headers of sound files, and files that are none."""

import pytest

from pipelines.schema.errors import TaskFailed
from tests.inputs.helpers import items


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
