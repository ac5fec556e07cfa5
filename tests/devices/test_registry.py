"""From `device=...` to a device, or a sentence."""

import pytest

from pipelines.devices.registry import device_kinds, open_device, parse_spec, spec_of
from pipelines.schema.errors import SurroundingsFailed, UsageError
from tests.devices.fakes import MB, FakeCard


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ("gpu", UsageError),
        ("auto", UsageError),
        ("cuda:x", UsageError),
        ("cpu:1", UsageError),
        ("simulated", UsageError),
    ],
)
def test_specs_that_cannot_be(spec: str, error: type[Exception]) -> None:
    with pytest.raises(error, match="device="):
        open_device(spec)


def test_a_card_that_is_not_there() -> None:
    with pytest.raises(SurroundingsFailed, match="no such CUDA card"):
        open_device("cuda:7")


def test_choosing_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.devices.cuda.Nvml", FakeCard)
    assert open_device("cuda").spec == "cuda:0"
    assert open_device("cuda", total=4000 * MB).total_bytes == 4000 * MB
    with pytest.raises(SurroundingsFailed, match="no such CUDA card"):
        open_device("cuda:1")
    with pytest.raises(UsageError, match="more than Fake 8 GB has"):
        open_device("cuda:0", total=9000 * MB)


@pytest.mark.parametrize("spec", ["cpu", "cuda:0", "cuda:3", "simulated"])
def test_a_spec_is_spelled_as_it_was_parsed(spec: str) -> None:
    kind, index = parse_spec(spec)
    assert spec_of(kind.kind, index) == spec


def test_a_device_has_the_size_and_the_name_it_was_opened_with() -> None:
    card = open_device("simulated", total=500, name="H200")
    assert (card.total_bytes, card.name) == (500, "H200")


def test_the_number_of_a_card_is_part_of_its_name_where_there_may_be_several(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [parse_spec(spec)[1] for spec in ("cuda", "cuda:0", "cuda:12", "cpu")] == [0, 0, 12, 0]
    assert (spec_of("cuda", 2), spec_of("cpu", 0)) == ("cuda:2", "cpu")
    for spec in ("cuda:", "simulated:0", "cuda:-1", ""):
        with pytest.raises(UsageError, match="is not a device"):
            parse_spec(spec)


def test_a_size_that_the_device_has_just_so_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.devices.cuda.Nvml", FakeCard)
    assert open_device("cuda", total=8000 * MB).total_bytes == 8000 * MB
    with pytest.raises(UsageError, match="is more than Fake 8 GB has"):
        open_device("cuda", total=8000 * MB + 1)


def test_what_the_kinds_say_of_themselves() -> None:
    """Where models compute decides what a run measures and what `auto` may be; whose footprints apply, what is planned."""
    kinds = device_kinds()
    assert list(kinds) == ["cuda", "cpu", "simulated"]
    assert {name for name, kind in kinds.items() if kind.computes_on_host} == {"cpu", "simulated"}
    assert {name for name, kind in kinds.items() if kind.memory == "host"} == {"cpu"}
    assert {name for name, kind in kinds.items() if kind.virtual} == {"simulated"}
    assert {name for name, kind in kinds.items() if kind.numbered} == {"cuda"}
    assert {name for name, kind in kinds.items() if kind.probe is not None} == {"cuda"}
