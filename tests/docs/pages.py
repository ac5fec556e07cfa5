"""The pages, their commands, their files, and a folder in which a person would type the commands."""

import re
import shlex
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).parents[2]
PAGES = [path.relative_to(ROOT).as_posix() for path in (
    ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md")),
)]  # fmt: skip
RATE = 44100


def read(page):
    """The text of a page, by its path in the repository."""
    return (ROOT / page).read_text(encoding="utf-8")


def commands(page, program="headroom"):
    """The lines of a page, indented by four, that call `program`."""
    return re.findall(rf"^    ({program} .*)$", read(page), re.MULTILINE)


def write_files(page, folder):
    """Write the page's files into `folder`: blocks, fenced or indented, whose first line is `# path/of/the/file`."""
    fenced = re.findall(r"```(?:python|yaml)\n(.*?)```", read(page), re.DOTALL)
    indented = [
        re.sub(r"^    ", "", block, flags=re.MULTILINE)
        for block in re.findall(r"((?:    .*\n|\n(?=    ))+)", read(page))
    ]
    for block in [*fenced, *indented]:
        for part in re.split(r"^(?=# \S+\.(?:py|yaml)$)", block, flags=re.MULTILINE):
            if name := re.match(r"# (\S+\.(?:py|yaml))\n", part):
                path = folder / name[1]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(part, encoding="utf-8")


def fill(folder):
    """The files that the pages' commands name as the reader's own."""
    tone = _sung(220.0, 261.63)
    for name in ("song.wav", "song.ogg", "songs/one.flac", "songs/two.flac", "sample/song.wav", "me.wav", "voice.wav"):
        (folder / name).parent.mkdir(exist_ok=True)
        soundfile.write(str(folder / name), tone, RATE)
    for name in ("song.txt", "sample/lyrics.txt"):
        (folder / name).write_text("hello there\n", encoding="utf-8")
    (folder / "songs.csv").write_text(
        "input,lyrics,artist,title,language\nsong.ogg,song.txt,Me,Mine,en\n", encoding="utf-8"
    )
    (folder / "weights" / "room").mkdir(parents=True)
    np.save(folder / "weights" / "room" / "response.npy", np.array([1.0, 0.0, 0.5]))


def call(command, folder):
    """Run a line of a page as a person's shell would: by the installed command, in `folder`, with no help from a path."""
    words = shlex.split(command, comments=True)
    script = Path(sysconfig.get_path("scripts")) / words[0]
    return subprocess.run([script, *words[1:]], cwd=folder, capture_output=True, text=True, timeout=1800, check=False)


def _sung(*hertz, seconds=0.7):
    """A vowel on one pitch after the other, stereo [frames, 2]."""
    frames = int(seconds * RATE)
    phase = 2 * np.pi * np.cumsum(np.repeat(hertz, frames)) / RATE
    tone = sum(np.sin(k * phase) / k for k in range(1, 9)) * 0.12
    return np.stack([tone, tone], axis=1)
