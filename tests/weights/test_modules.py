"""Ready means it imports: what is not installed is named, and so are versions that do not belong together."""

import pytest

from pipelines.weights import modules
from pipelines.weights.modules import modules_fault


@pytest.fixture
def installed(monkeypatch):
    """Make the versions that packages seem to have."""

    def set_versions(**versions):
        monkeypatch.setattr(modules.metadata, "version", versions.__getitem__)

    return set_versions


def test_torchaudio_of_another_minor_version_than_torch_is_not_ready(installed):
    installed(torch="2.15.1+cu130", torchaudio="2.11.0")
    assert modules_fault(["torch", "torchaudio"]) == (
        "torchaudio 2.11.0 does not work with torch 2.15.1+cu130 (pip install 'torch==2.11.*' 'torchaudio==2.11.*')"
    )


@pytest.mark.parametrize("torch", ["2.11.0", "2.11.3+cu130", "2.11.0+cpu"])
def test_patch_and_build_may_differ(installed, torch):
    installed(torch=torch, torchaudio="2.11.0")
    assert modules_fault(["torch", "torchaudio"]) == ""


def test_who_does_not_need_torchaudio_does_not_mind(installed):
    installed(torch="2.15.0", torchaudio="2.11.0")
    assert modules_fault(["torch"]) == ""


def test_what_is_installed_without_metadata_is_believed(monkeypatch):
    def unknown(name):
        raise modules.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(modules.metadata, "version", unknown)
    assert modules_fault(["torchaudio"]) == ""


def test_this_environment_is_ready():
    assert modules_fault(["torch", "torchaudio", "torchcrepe"]) == ""
