"""Variants: a changed one is another model that still knows which file it comes from."""

from pipelines.schema.config import Footprint, Variant, on_cpu

SMALL = Variant("transcribe/small", "transcribe", "nodes.x.Small", knobs={"batch": 8},
                footprints={"accelerator": Footprint(weights=5), "host": Footprint(weights=3, seconds={"base": 2.0})})  # fmt: skip


def test_a_changed_variant_has_its_own_name_and_knows_its_file():
    made = on_cpu(SMALL).changed("+batch=4", knobs={"batch": 4})
    assert (made.name, made.origin, made.stem) == ("transcribe/small@cpu+batch=4", "transcribe/small", "small")
    assert made.changes == ("@cpu", "+batch=4")
    assert made.knobs == {"batch": 4}
    assert SMALL.name == SMALL.origin == "transcribe/small", "the first is as it was"


def test_kept_off_the_card_it_takes_nothing_there_and_the_cpus_seconds():
    made = on_cpu(SMALL)
    assert made.device == "cpu"
    assert made.footprints["accelerator"] == Footprint(seconds={"base": 2.0})
    assert made.footprints["host"] == SMALL.footprints["host"]
