"""Environments: only pinned, only trusted, built once, never half."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipelines.schema.errors import SurroundingsFailed, UsageError
from pipelines.weights.environments import _uv, environment_for, environments


class Builder:
    """Stands for uv: makes the folder, and fails where told."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.commands: list[list[str]] = []
        self.fail_at = fail_at

    def __call__(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        self.commands.append(list(command))
        if "venv" in command:
            (Path(command[-1]) / "bin").mkdir(parents=True)
            (Path(command[-1]) / "bin" / "python").write_text("")
        code = 1 if len(self.commands) - 1 == self.fail_at else 0
        return subprocess.CompletedProcess(command, code, "", "no such version")


def test_it_is_built_once_and_found_again(tmp_path: Path) -> None:
    build = Builder()
    first = environment_for(["b==2", "a==1"], trusted=True, cache=tmp_path, run=build)
    count = len(build.commands)
    assert first == environment_for(["a==1", "b==2"], trusted=True, cache=tmp_path, run=build)
    assert len(build.commands) == count
    assert {"a==1", "b==2", "numpy"} <= set(build.commands[-1])
    assert environment_for(["a==1"], trusted=True, cache=tmp_path, run=build) != first


@pytest.fixture(params=["uv on PATH", "uv beside the interpreter", "pip"])
def tool(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What builds: the program's path, or `pip` where no uv can be found."""
    for folder in ("path", "interpreter"):
        (tmp_path / folder).mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "interpreter" / "python"))
    if request.param == "pip":
        return "pip"
    uv = tmp_path / ("path" if request.param == "uv on PATH" else "interpreter") / "uv"
    uv.touch(mode=0o755)
    return str(uv)


def test_it_is_built_with_uv_where_there_is_one(tmp_path: Path, tool: str) -> None:
    build = Builder()
    python = environment_for(["a==1"], trusted=True, cache=tmp_path / "cache", run=build)
    made, installed = build.commands
    if tool == "pip":
        assert made == [sys.executable, "-m", "venv", str(python.parents[1])]
        assert installed[:4] == [str(python), "-m", "pip", "install"]
    else:
        assert (made[:2], installed[:3]) == ([tool, "venv"], [tool, "pip", "install"])
        assert made[made.index("--python") + 1] == sys.executable
        assert installed[installed.index("--python") + 1] == str(python)
    assert installed[-2:] == ["a==1", "numpy"]


def test_what_was_installed_is_written_down(tmp_path: Path, tool: str) -> None:
    def build(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        if "install" in command:
            python = command[0] if tool == "pip" else command[command.index("--python") + 1]
            info = Path(python).parents[1] / "lib/python3.11/site-packages/b-2.dist-info"
            info.mkdir(parents=True)
            (info / "METADATA").write_text("Metadata-Version: 2.1\nName: b\nVersion: 2\n")
        return Builder()(command)

    folder = environment_for(["a==1"], trusted=True, cache=tmp_path / "cache", run=build).parents[1]
    assert json.loads((folder / "headroom.json").read_text()) == {"packages": ["a==1"], "resolved": ["b==2"]}


@pytest.mark.network
@pytest.mark.skipif(not os.environ.get("HEADROOM_NETWORK"), reason="HEADROOM_NETWORK=1 lets it use the package index")
@pytest.mark.parametrize("wanted", ["uv", "pip"])
def test_a_real_one(tmp_path: Path, wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if wanted == "uv" and _uv() is None:
        pytest.skip("uv is not installed")
    if wanted == "pip":
        monkeypatch.setattr("pipelines.weights.environments._uv", lambda: None)
    python = environment_for(["iniconfig==2.1.0"], trusted=True, cache=tmp_path)
    code = "import iniconfig, numpy, importlib.metadata as m; print(m.version('iniconfig'))"
    assert subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout == "2.1.0\n"
    (found,) = environments(tmp_path)
    assert found.ready
    assert "iniconfig==2.1.0" in json.loads((found.folder / "headroom.json").read_text())["resolved"]


def test_an_untrusted_list_installs_nothing(tmp_path: Path) -> None:
    build = Builder()
    with pytest.raises(UsageError, match="trusted"):
        environment_for(["a==1"], trusted=False, cache=tmp_path, run=build)
    assert build.commands == []


@pytest.mark.parametrize(
    "pin",
    ["a", "a>=1", "a==1; import os", "git+https://x/y", "a @ file:///x", "--index-url=http://x", "../a==1", "a== 1"],
)
def test_only_exact_pins_are_taken(tmp_path: Path, pin: str) -> None:
    build = Builder()
    with pytest.raises(UsageError, match="exact pin"):
        environment_for([pin], trusted=True, cache=tmp_path, run=build)
    assert build.commands == []


@pytest.mark.parametrize("fail_at", [0, 1])
def test_a_failed_build_leaves_nothing_and_says_why(tmp_path: Path, fail_at: int) -> None:
    with pytest.raises(SurroundingsFailed, match="no such version"):
        environment_for(["a==1"], trusted=True, cache=tmp_path, run=Builder(fail_at))
    assert environments(tmp_path) == []
    environment_for(["a==1"], trusted=True, cache=tmp_path, run=Builder())


def test_a_build_that_was_interrupted_is_begun_anew(tmp_path: Path) -> None:
    python = environment_for(["a==1"], trusted=True, cache=tmp_path, run=Builder())
    (python.parent.parent / "headroom.json").unlink()
    assert [each.ready for each in environments(tmp_path)] == [False]
    build = Builder()
    environment_for(["a==1"], trusted=True, cache=tmp_path, run=build)
    assert build.commands
    (found,) = environments(tmp_path)
    assert (found.ready, found.packages, found.python) == (True, ("a==1",), python)
