"""The spellings of `footprint:` in a variant's file."""

import pytest

from pipelines.config.variants import read_variant
from pipelines.schema.errors import UsageError
from pipelines.schema.units import MIB

CARD = {"weights": "10 MiB", "workspace": {"base": "4 MiB"}, "load_seconds": 2}


def footprints(**footprint):
    return read_variant("pitch", "mine", {"_target_": "nodes.x.X", "footprint": footprint}).footprints


@pytest.mark.parametrize(("host", "accelerator"), [("host", "accelerator"), ("cpu", "cuda")])
def test_both_spellings_of_both_memories_are_read(host, accelerator):
    part = {host: {"weights": "8 MiB", "context": {"torch": "90 MiB"}}}
    found = footprints(**CARD, context={accelerator: "500 MiB"}, **part)
    assert set(found) == {"host", "accelerator"}
    assert (found["accelerator"].weights, found["accelerator"].context) == (10 * MIB, {"accelerator": 500 * MIB})
    assert (found["host"].weights, found["host"].context) == (8 * MIB, {"torch": 90 * MIB})
    assert found["host"].workspace == found["accelerator"].workspace == {"base": 4 * MIB}


def test_one_memory_is_not_described_twice():
    with pytest.raises(UsageError, match="Keep one"):
        footprints(**CARD, host={"weights": 1}, cpu={"weights": 2})


def test_a_mistake_in_the_host_s_part_is_named_as_the_file_spells_it():
    with pytest.raises(UsageError, match=r"footprint\.host"):
        footprints(**CARD, host={"weight": 1})
