"""What an installed torch asks of a card and its driver."""

import pytest

from pipelines.devices.torch_build import TorchBuild, installed_torch, parse_build, why_unusable
from pipelines.schema.hardware import Card
from pipelines.schema.units import GIB, MIB

CU126 = TorchBuild("2.11.0+cu126", (12, 6))
CU128 = TorchBuild("2.8.0+cu128", (12, 8))


def test_volta_left_cuda_12_8_builds_with_torch_2_11():
    volta = Card("Tesla V100", 32510 * MIB, (7, 0))
    assert why_unusable(CU128, volta, "570", (12, 8)) == ""
    assert why_unusable(TorchBuild("2.11.0+cu128", (12, 8)), volta, "570", (12, 8))


def test_a_driver_runs_older_builds_of_its_own_major_version():
    card = Card("RTX 3060", 12 * GIB, (8, 6))
    assert why_unusable(CU128, card, "530", (12, 1)) == ""
    assert why_unusable(CU126, card, "580", (13, 0)) == ""


def test_version_files_of_builds_with_and_without_cuda():
    assert parse_build("__version__ = '2.11.0+cpu'\ncuda: Optional[str] = None\n") == TorchBuild("2.11.0+cpu", None)
    assert parse_build("nothing here") is None


def test_a_release_is_what_comes_before_the_build() -> None:
    assert TorchBuild("2.11.0+cu130", None).release == (2, 11, 0)
    assert TorchBuild("2.9.0a0+git12", None).release == (2, 9, 0)
    assert TorchBuild("of my own", None).release == ()


@pytest.mark.parametrize(
    ("cuda", "version", "low", "high"),
    [
        (None, "2.11.0", (0, 0), (0, 0)),
        ((13, 0), "2.11.0", (7, 5), (12, 9)),
        ((13, 2), "2.12.0", (7, 5), (12, 9)),
        ((12, 9), "2.10.0", (7, 0), (12, 9)),
        ((12, 8), "2.11.0", (7, 5), (12, 9)),
        ((12, 6), "2.11.0", (5, 0), (9, 0)),
        ((11, 8), "2.4.0", (5, 0), (9, 0)),
    ],
)
def test_the_cards_that_a_build_has_code_for(cuda, version, low, high):
    """PyTorch's release matrix, by CUDA and by release."""
    assert TorchBuild(version, cuda).architectures() == (low, high)
    for compute, fits in ((low, True), (high, True), ((low[0], low[1] - 1), False), ((high[0], high[1] + 1), False)):
        if cuda is not None:
            card = Card("a card", GIB, compute)
            assert (why_unusable(TorchBuild(version, cuda), card, "600", (14, 0)) == "") is fits


def test_what_to_install_for_a_card_that_is_too_old_or_too_new():
    old, new = Card("GTX 1080", 8 * GIB, (6, 1)), Card("RTX 5060 Ti", 16 * GIB, (12, 0))
    text = why_unusable(TorchBuild("2.11.0+cu130", (13, 0)), old, "580", (13, 0))
    assert text == (
        "torch 2.11.0+cu130 has no code for compute capability 6.1 of GTX 1080; it begins at 7.5. "
        "Install a torch built for CUDA 12.6, the last with code for older cards."
    )
    text = why_unusable(CU126, new, "580", (13, 0))
    assert text.endswith("of RTX 5060 Ti; it ends at 9.0. Install a torch built for CUDA 12.8 or newer.")


def test_what_to_do_where_the_driver_is_too_old():
    card = Card("RTX 3060", 12 * GIB, (8, 6))
    text = why_unusable(TorchBuild("2.11.0+cu130", (13, 0)), card, "550.1", (12, 4))
    assert text == (
        "torch 2.11.0+cu130 needs a driver that speaks CUDA 13; driver 550.1 speaks 12.4. "
        "Update the driver to 580 or newer, or install a torch built for CUDA 12."
    )
    text = why_unusable(CU126, card, "", (11, 8))
    assert "driver ? speaks 11.8. Update the driver, or install a torch built for CUDA 11." in text


def test_nothing_is_held_against_what_is_not_known():
    card = Card("RTX 3060", 12 * GIB, (8, 6))
    assert why_unusable(None, card, "550", (12, 4)) == ""
    assert why_unusable(CU126, card, "", None) == ""
    assert why_unusable(CU126, Card("some card", GIB), "550", (12, 6)) == ""
    assert "is a build without CUDA" in why_unusable(TorchBuild("2.11.0", None), card, "550", (12, 4))


def test_the_torch_of_an_environment_is_read_from_its_files(tmp_path):
    python = tmp_path / "bin" / "python"
    assert installed_torch(python) is None
    file = tmp_path / "lib" / "python3.11" / "site-packages" / "torch" / "version.py"
    file.parent.mkdir(parents=True)
    file.write_text("__version__ = '2.9.1+cu126'\ncuda: Optional[str] = '12.6'\n")
    assert installed_torch(python) == installed_torch(str(python)) == TorchBuild("2.9.1+cu126", (12, 6))
    file.unlink()
    file.mkdir()
    assert installed_torch(python) is None


def test_the_torch_of_this_environment_is_found_without_importing_it(monkeypatch):
    torch = pytest.importorskip("torch")
    found = installed_torch()
    assert found is not None
    assert found.version == str(torch.__version__)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert installed_torch() is None
