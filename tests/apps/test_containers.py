"""The container files read as an engine would read them. No engine is at hand here: nothing is built or started."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml

from pipelines.cli.main import VERBS
from pipelines.config.variables import VARIABLES, read_variables
from pipelines.paths import user_folders

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def instructions():
    """(instruction, rest) of the Dockerfile, continued lines joined, comments left out."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in lines]


def test_every_line_is_an_instruction_and_the_first_says_from_what():
    known = {"FROM", "RUN", "COPY", "ENV", "USER", "WORKDIR", "VOLUME", "ENTRYPOINT", "CMD"}
    found = [name for name, _ in instructions()]
    assert set(found) <= known
    assert found[0] == "FROM"
    assert found[-2:] == ["ENTRYPOINT", "CMD"]


def test_what_is_copied_is_there_and_not_ignored():
    ignored = (ROOT / ".dockerignore").read_text().split()
    for name, rest in instructions():
        if name == "COPY" and not rest.startswith("--from"):
            *sources, _ = shlex.split(rest)
            for source in sources:
                assert (ROOT / source).exists(), source
                assert f"!{source}" in ignored
    assert ignored[0] == "*"


def test_what_is_installed_and_started_exists():
    text = (ROOT / "Dockerfile").read_text()
    extras = re.search(r"/src\[([^\]]+)\]", text)[1].split(",")
    assert set(extras) <= set(PROJECT["optional-dependencies"])
    entry = dict(instructions())["ENTRYPOINT"]
    assert yaml.safe_load(entry) == ["headroom"]
    assert "headroom" in PROJECT["scripts"]
    assert yaml.safe_load(dict(instructions())["CMD"])[0] in VERBS
    versions = {rest.split()[0].partition(":")[2][:4] for name, rest in instructions() if name == "FROM"}
    assert versions == {"3.11"}


def test_it_does_not_run_as_root_and_its_volumes_are_the_users():
    found = instructions()
    users = [rest for name, rest in found if name == "USER"]
    assert users
    assert users[-1] not in ("root", "0")
    volumes = yaml.safe_load(dict(found)["VOLUME"])
    owned = next(rest for name, rest in found if name == "RUN" and "chown" in rest)
    assert all(volume in owned for volume in volumes)


def test_everything_of_a_user_s_lies_in_a_volume():
    named = dict(pair.split("=", 1) for name, rest in instructions() if name == "ENV" for pair in shlex.split(rest))
    folders = user_folders(environment=named)
    volumes = [Path(volume) for volume in yaml.safe_load(dict(instructions())["VOLUME"])]
    for folder in (folders.data, folders.cache, folders.weights):
        assert any(folder.is_relative_to(volume) for volume in volumes), folder


@pytest.fixture
def compose():
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


@pytest.mark.parametrize(
    ("service", "low", "card"), [("audio-voice-low-vram", "true", "0"), ("audio-voice-high-perf", "false", "1")]
)
def test_the_two_services_of_the_document(compose, service, low, card):
    found = compose["services"][service]
    assert found["environment"] == {"LOW_VRAM": low}
    assert set(found["environment"]) <= set(VARIABLES)
    policy = read_variables(found["environment"])["LOW_VRAM"]["tier.residency"]
    assert policy == {"true": "sequential", "false": "normal"}[low]
    (device,) = found["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "device_ids": [card], "capabilities": ["gpu"]}


def test_services_mount_what_the_image_declares(compose):
    volumes = yaml.safe_load(dict(instructions())["VOLUME"])
    for service in compose["services"].values():
        targets = [mount.rpartition(":")[2] for mount in service["volumes"]]
        assert all(any(target == volume or target.startswith(volume + "/") for volume in volumes) for target in targets)
        assert "/data" in targets  # all of HEADROOM_HOME, the weights too
    named = {
        mount.partition(":")[0]
        for service in compose["services"].values()
        for mount in service["volumes"]
        if mount[0] not in "./"
    }
    assert named == set(compose["volumes"])
