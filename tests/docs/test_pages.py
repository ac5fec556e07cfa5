"""What the pages show is run as it stands there: by the installed command, in an empty folder, with no help from a path."""

import re
import shlex
import subprocess
import sys
import tomllib

import numpy as np
import pytest
import soundfile

from pipelines.cli.main import VERBS
from tests.docs.pages import PAGES, ROOT, call, commands, fill, read, write_files

#: Pages whose commands have a test of their own.
ELSEWHERE = {"docs/verified.md": "tests/docs/test_verified.py"}
#: What a command needs that is not here, by a part of it.
NEEDS = {"weights fetch": "needs a network: it downloads weights"}
#: Files that a page has its reader write.
OF_THE_READER = {"conf/device/toy.yaml"}
COMMANDS = [(page, command) for page in PAGES if page not in ELSEWHERE for command in commands(page)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder with the reader's own files, and a clean environment."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    fill(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=[f"{page}: {command[:80]}" for page, command in COMMANDS])
def test_a_command_runs_as_it_stands(page, command, folder):
    for part, reason in NEEDS.items():
        if part in command:
            pytest.skip(reason)
    write_files(page, folder)
    result = call(command, folder)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_writing_a_node(folder):
    write_files("docs/writing-a-node.md", folder)
    for command in commands("docs/writing-a-node.md"):
        assert call(command, folder).returncode == 0
    (loud,) = folder.glob("outputs/loud/**/wav/song.wav")
    (roomy,) = folder.glob("outputs/roomy/**/wav/song.wav")
    song, _ = soundfile.read(folder / "song.wav")
    assert soundfile.read(loud)[0] == pytest.approx(np.clip(3 * song, -1, 1), abs=2e-3)
    dry = np.concatenate([np.zeros_like(song[:2]), song[:-2]])
    assert soundfile.read(roomy)[0] == pytest.approx(np.clip(song + 0.5 * dry, -1, 1), abs=2e-3)


@pytest.mark.parametrize("page", PAGES)
def test_a_command_in_the_text_names_a_verb(page):
    named = set(re.findall(r"`headroom ([a-z]\w*)", read(page)))
    assert named <= {*VERBS, "help"}


@pytest.mark.parametrize("page", PAGES)
def test_every_target_of_make_that_is_named_is_there(page):
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    assert set(re.findall(r"(?:`|^    )make ([a-z-]+)", read(page), re.MULTILINE)) <= targets


def test_what_is_installed_as_a_tool_is_an_extra():
    (command,) = commands("README.md", "uv")
    extras = re.search(r"\[(.*)\]", shlex.split(command)[-1])
    known = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
    assert set(extras[1].split(",")) <= set(known)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_page(page):
    here = (ROOT / page).parent
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", read(page)):
        assert "://" in target or (here / target).exists(), target


@pytest.mark.parametrize("page", PAGES)
def test_every_page_that_is_named_is_there(page):
    named = re.findall(r"`((?:docs|conf|tests|benchmarks|pipelines|nodes)/[\w/.-]+\.\w+)`", read(page))
    assert [path for path in named if path not in OF_THE_READER and not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_row_of_a_table_has_as_many_cells_as_its_head(page):
    columns = None
    for line in read(page).splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else None
        if cells is not None and columns is not None:
            assert cells == columns, line
        columns = cells


def test_the_readme_s_node_is_that_of_the_page():
    def plain(text):
        return [line.strip() for line in text.splitlines() if line.strip()]

    page = read("docs/writing-a-node.md")
    block = re.search(r"    # my_nodes/louder.py\n(.*?)    # my_conf", read("README.md"), re.DOTALL)
    assert block
    for line in plain(block[1]):
        code = line.replace(": self.gain = gain", ":")
        assert code in page, line


def test_the_index_names_every_page():
    index = read("docs/README.md")
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if f"({page})" not in index and page != "README.md"] == []


def test_the_planner_s_figures_are_those_of_its_results():
    table = [line for line in read("benchmarks/results/planner.md").splitlines() if line.strip()]
    assert [line for line in table if line not in read("docs/figures.md")] == []


def test_headroom_from_python(tmp_path, monkeypatch):
    """The script of the page, as it stands there, in an empty folder with a song."""
    monkeypatch.chdir(tmp_path)
    soundfile.write("song.wav", np.zeros((8000, 2)) + 0.1, 8000)
    (block,) = re.findall(r"```python\n# stems.py\n(.*?)```", (ROOT / "docs/python.md").read_text("utf-8"), re.DOTALL)
    (tmp_path / "stems.py").write_text(block, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    result = subprocess.run([sys.executable, "stems.py"], capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    assert "plan: {'separate': 'separate/center'}" in result.stdout
    assert "run: ok" in result.stdout
    assert len(re.findall(r"^made: .*\.wav$", result.stdout, re.MULTILINE)) == 2
    assert "fit:" in result.stdout
