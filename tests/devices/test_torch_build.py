"""What an installed torch asks of a card and its driver."""

from pipelines.devices.torch_build import TorchBuild, parse_build, why_unusable
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
