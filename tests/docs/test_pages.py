"""What the pages show is run as it stands there: by the installed command, in an empty folder, with no help from a path."""

import re
import shlex
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parents[2]


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The files of a page, written out; and a song to run them on."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    rate = 8000
    tone = 0.1 * np.sin(2 * np.pi * 220 * np.arange(rate) / rate)
    soundfile.write(str(tmp_path / "song.wav"), np.stack([tone, tone], axis=1), rate)
    (tmp_path / "weights" / "room").mkdir(parents=True)
    np.save(tmp_path / "weights" / "room" / "response.npy", np.array([1.0, 0.0, 0.5]))

    def write(page):
        text = (ROOT / page).read_text(encoding="utf-8")
        for block in re.findall(r"```(?:python|yaml)\n(.*?)```", text, re.DOTALL):
            name = re.match(r"# (\S+)", block)
            assert name, "a block of a page must begin with the file's name"
            path = tmp_path / name[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block, encoding="utf-8")
        return re.findall(r"^    (headroom run -cd .*)$", text, re.MULTILINE)

    return write


def call(command):
    """Run a line of a page as a person's shell would, by the command that was installed."""
    words = shlex.split(command, comments=True)
    assert words[0] == "headroom"
    script = Path(sysconfig.get_path("scripts")) / "headroom"
    result = subprocess.run([script, *words[1:]], capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_writing_a_node(written):
    commands = written("docs/writing-a-node.md")
    assert len(commands) == 2
    for command in commands:
        call(command)
    loud, _ = soundfile.read(next(str(p) for p in Path("outputs").rglob("wav/song.wav") if "/loud/" in str(p)))
    assert np.abs(loud).max() == pytest.approx(0.3, abs=0.001)
    roomy, _ = soundfile.read(next(str(p) for p in Path("outputs").rglob("wav/song.wav") if "/roomy/" in str(p)))
    assert np.abs(roomy).max() > 0.11  # the response adds half of the sound two samples later


def test_the_readme_s_node_is_that_of_the_page():
    def plain(text):
        return [line.strip() for line in text.splitlines() if line.strip()]

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    page = (ROOT / "docs/writing-a-node.md").read_text(encoding="utf-8")
    block = re.search(r"    # my_nodes/louder.py\n(.*?)    # my_conf", readme, re.DOTALL)
    assert block
    for line in plain(block[1]):
        code = line.replace(": self.gain = gain", ":")
        assert code in page, line
