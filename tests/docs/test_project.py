"""pyproject.toml, requirements.txt and the hooks agree with each other."""

import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.docs.pages import read

PROJECT = tomllib.loads(read("pyproject.toml"))["project"]
PINS = [line for line in read("requirements.txt").splitlines() if not line.startswith("#")]
EXTRAS = {
    extra: [Requirement(text) for text in texts if not text.startswith(PROJECT["name"])]
    for extra, texts in PROJECT["optional-dependencies"].items()
}
WANTED = [*map(Requirement, PROJECT["dependencies"]), *(need for needs in EXTRAS.values() for need in needs)]


@pytest.mark.parametrize("pin", PINS)
def test_a_pin_is_a_name_and_a_version(pin):
    assert re.fullmatch(r'[a-z0-9._-]+==[\w.!+-]+( ; sys_platform == "linux")?', pin)


def test_what_the_project_names_is_pinned_in_its_range():
    pinned = {canonicalize_name(pin.partition("==")[0]): pin.partition("==")[2].split(" ")[0] for pin in PINS}
    for need in WANTED:
        version = pinned.get(canonicalize_name(need.name))
        assert version is not None, need
        assert need.specifier.contains(version), need


@pytest.mark.parametrize(
    "extra", [name for name, needs in EXTRAS.items() if any(n.name == "torchaudio" for n in needs)]
)
def test_torch_is_bound_to_the_versions_of_torchaudio(extra):
    ranges = {need.name: need.specifier for need in EXTRAS[extra]}
    assert ranges["torch"] == ranges["torchaudio"]
    assert any(part.operator == "<" for part in ranges["torch"])


def test_the_hooks_are_those_of_make_lint():
    (local,) = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    programs = {hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in local["hooks"]}
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", read("Makefile"), re.MULTILINE)
    assert programs == set(re.findall(r"\$\(BIN\)/(\S+)", lint[1]))
