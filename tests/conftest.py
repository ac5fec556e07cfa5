"""What all tests share: nothing of the user's own is read or written, and the command line can be called in process."""

from __future__ import annotations

import gc
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The same examples on every machine, however slow it is today; HYPOTHESIS_PROFILE=default looks for new ones.
settings.register_profile("same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

APPS = Path(__file__).parent / "apps" / "conf"


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory, monkeypatch):
    """Measured footprints, weights and caches of the person at this machine stay out of the tests."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HEADROOM_HOME", str(home))
    monkeypatch.setenv("HEADROOM_WEIGHTS", str(home / "weights"))
    monkeypatch.setenv("HEADROOM_CACHE", str(home / "cache"))
    for name in ("HF_HUB_CACHE", "TTS_HOME", "TORCH_HOME"):
        monkeypatch.setenv(name, str(home / name.lower()))
    for name in ("LOW_VRAM", "MAX_CUDA_VRAM"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True, scope="module")
def _settled():
    """What earlier tests imported is looked through once, not in each of the many collections of the tests to come."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def undisturbed():
    """The collector rests: no garbage of other tests is finalised within this one.

    What a finaliser raises is kept by pytest until the test ends, and with it the frames it came up in and all they
    hold, so that a network would seem to outlive its unload.
    """
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="session")
def made_weights(tmp_path_factory):
    """A weights folder with tiny weights for every variant, as `python -m tests.checkpoints` makes it. 10 s."""
    import subprocess

    folder = tmp_path_factory.mktemp("made") / "weights"
    command = [sys.executable, "-m", "tests.checkpoints", str(folder)]
    subprocess.run(command, cwd=Path(__file__).parents[1], check=True, capture_output=True, timeout=300)
    return folder


@dataclass
class Result:
    """What a call of the command line left: exit code and both streams."""

    code: int
    out: str
    err: str


@pytest.fixture
def headroom(capfd, tmp_path, monkeypatch):
    """Call `headroom` in this process, in an empty folder. `toy=True` adds the tests' own config and nodes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")

    def call(*argv: str, toy: bool = False) -> Result:
        from pipelines.cli.main import main

        verb, *rest = argv
        own = ["--trust", "tests", "-cd", str(APPS)] if toy else []
        capfd.readouterr()
        code = main([verb, *own, *rest])
        logging.getLogger().handlers.clear()  # Hydra's --info logs to the stdout of this one call
        out, err = capfd.readouterr()
        return Result(code, out, err)

    return call


@pytest.fixture
def command(monkeypatch):
    """What starts `headroom` in a process of its own, with this checkout's packages."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    return [sys.executable, "-W", "ignore", "-m", "pipelines.cli.main"]
