"""docs/memory.md names constants; here they are those of the code."""

import re
from pathlib import Path

import pytest

from pipelines.devices import leaks
from pipelines.devices.cuda import UNMEASURED_CONTEXT, CudaDevice
from pipelines.footprints import regression, store
from pipelines.run import memory_check, resident_models
from pipelines.run.ladder import MODES
from pipelines.run.observations import MEASURED
from pipelines.schema.units import MIB

PAGE = " ".join((Path(__file__).parents[2] / "docs" / "memory.md").read_text(encoding="utf-8").split())


@pytest.mark.parametrize(
    "sentence",
    [
        f"{UNMEASURED_CONTEXT / 1e9:g} GB before a context exists",
        f"polled every {CudaDevice.sample_seconds * 1000:g} ms",
        f"More than {100 / memory_check.SLACK:g} % above the **prediction**",
        f"If {resident_models.RETURN_SECONDS:g} s later more than a quarter of it is still held",
        f"more than {leaks.RETURN_NOISE // MIB} MiB, the model *leaks*",
        f"(from another machine) | {regression.DECLARED_MARGIN:.0%}".replace("%", " %"),
        f"few observations | {regression.LARGEST_MARGIN:.0%}".replace("%", " %"),
        f"down to {regression.SMALLEST_MARGIN:.0%}".replace("%", " %"),
        f"the {regression._QUANTILE:.0%} quantile".replace("%", " %"),
        f"`memory_mode=conservative` multiplies margins by {MODES['conservative'].margin_factor}",
        f"`aggressive` by {MODES['aggressive'].margin_factor}",
        f"(`{MEASURED[0]}`, `{MEASURED[1]}` or `{MEASURED[2]}`, never `declared`)",
        f"At most {store._NEWEST} are used for a key",
    ],
)
def test_what_the_page_says_is_what_the_code_does(sentence):
    assert sentence in PAGE


def test_a_quarter_is_what_need_not_come_back():
    assert leaks.RETURN_SHARE == 0.75


def test_modules_and_files_it_names_are_there():
    root = Path(__file__).parents[2]
    for name in re.findall(r"`((?:devices|footprints)/\w+\.py)`", PAGE):
        assert (root / "pipelines" / name).is_file()
