"""Observations survive crashes, damage and staleness."""

import json
import multiprocessing
import os
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from pipelines.devices.cpu import CpuDevice
from pipelines.devices.cuda import CudaDevice
from pipelines.devices.simulated import SimulatedDevice
from pipelines.footprints import store as footprints
from pipelines.footprints.store import FootprintStore, Key, Observation, estimate
from pipelines.schema.config import Footprint, Variant
from pipelines.schema.errors import SurroundingsFailed
from pipelines.schema.formats import FOOTPRINT
from pipelines.schema.units import MIB
from tests.devices.fakes import FakeCard

VARIANT = Variant("pitch/crepe_tiny", "pitch", "nodes.pitch.crepe.Crepe", knobs={"batch": 64, "model": "tiny"})
KEY = Key.of(VARIANT, "abc", "cpu/2", "torch 2.11.0")
DECLARED = Footprint(weights=100 * MIB, workspace={"base": 50 * MIB}, load_seconds=9.0, source="estimate")


def runs(*seconds: float) -> list[Observation]:
    return [Observation("run", int(10 * MIB + s * MIB), 0.1, item_seconds=s) for s in seconds]


def test_what_was_added_is_read_back(tmp_path: Path) -> None:
    store = FootprintStore(tmp_path / "new" / "footprints.jsonl")
    store.add(KEY, runs(1, 2, 3))
    assert FootprintStore(store.path).read().of(KEY) == tuple(runs(1, 2, 3))


def test_a_line_is_as_the_page_of_formats_says(tmp_path: Path) -> None:
    store = FootprintStore(tmp_path / "footprints.jsonl")
    store.add(KEY, runs(1))
    line = json.loads(store.path.read_text(encoding="utf-8"))
    jsonschema.validate(line, FOOTPRINT.schema(), jsonschema.Draft202012Validator)
    key, seen = FOOTPRINT.parts
    assert [set(line["key"]), set(line["seen"])] == [{field.name for field in part.fields} for part in (key, seen)]
    least = Observation("run", 1, 0.1)
    defaults = {field.name: field.default for field in seen.fields if not field.required}
    assert defaults == {name: getattr(least, name) for name in defaults}


@pytest.mark.parametrize(
    "other",
    [
        Key.of(VARIANT, "abd", "cpu/2", "torch 2.11.0"),
        Key.of(VARIANT, "abc", "cpu/4", "torch 2.11.0"),
        Key.of(VARIANT, "abc", "cpu/2", "torch 2.12.0"),
    ],
)
def test_a_stale_key_falls_back_to_the_declared_figure_with_its_margin(tmp_path: Path, other: Key) -> None:
    store = FootprintStore(tmp_path / "f.jsonl")
    store.add(KEY, runs(1, 2, 3, 4))
    fresh, stale = estimate(store.read().of(KEY), DECLARED), estimate(store.read().of(other), DECLARED)
    assert fresh.measured
    assert fresh.margin <= 0.10
    assert (stale.footprint, stale.margin, stale.measured) == (DECLARED, 0.20, False)


def test_loads_replace_declared_weights(tmp_path: Path) -> None:
    store = FootprintStore(tmp_path / "f.jsonl")
    loads = [Observation("load", 170 * MIB, s, held_bytes=160 * MIB) for s in (1.5, 0.2)]
    store.add(KEY, [*loads, *runs(1, 2, 3)])
    found = estimate(store.read().of(KEY), DECLARED).footprint
    assert (found.weights, found.load_peak) == (160 * MIB, 170 * MIB)
    assert (found.load_seconds, found.reload_seconds) == (1.5, 0.2)


def test_a_damaged_file_is_set_aside_and_its_good_lines_kept(tmp_path: Path) -> None:
    store = FootprintStore(tmp_path / "f.jsonl")
    store.add(KEY, runs(1, 2))
    damaged = store.path.read_bytes() + b'{"key": {"variant": \xff\n' + b'{"key": {}, "seen": {"op": "run"}}\n[1]\n'
    store.path.write_bytes(damaged)
    message: list[str] = []
    again = FootprintStore(store.path, warn=message.append)
    assert len(again.read().of(KEY)) == 2
    assert len(message) == 1
    assert "3 lines" in message[0]
    assert (tmp_path / "f.damaged").read_bytes() == damaged
    assert FootprintStore(store.path, warn=pytest.fail).read().of(KEY) == tuple(runs(1, 2))


@pytest.mark.parametrize("number", ["NaN", "-5", "1e99", '"x"', "Infinity"])
def test_numbers_that_cannot_be_are_damage(tmp_path: Path, number: str) -> None:
    store = FootprintStore(tmp_path / "f.jsonl")
    store.add(KEY, runs(1))
    text = store.path.read_text()
    store.path.write_text(text + text.replace('"item_seconds": 1', f'"item_seconds": {number}'))
    assert len(FootprintStore(store.path).read().of(KEY)) == 1


@pytest.mark.parametrize(
    ("was", "is_now"),
    [
        ('"segment": null', '"segment": "x"'),
        ('"predicted_bytes": null', '"predicted_bytes": "x"'),
        ('"channels": 1', '"channels": "x"'),
    ],
)
def test_no_field_of_a_line_can_break_a_later_estimate(tmp_path: Path, was: str, is_now: str) -> None:
    store = FootprintStore(tmp_path / "f.jsonl")
    store.add(KEY, runs(1))
    text = store.path.read_text()
    assert was in text
    store.path.write_text(text + text.replace(was, is_now) + "[" * 100_000 + "\n")
    assert estimate(FootprintStore(store.path).read().of(KEY), DECLARED) == estimate(store.read().of(KEY), DECLARED)


def test_what_another_process_adds_while_a_damaged_file_is_mended_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FootprintStore(tmp_path / "f.jsonl")
    store.add(KEY, runs(1))
    with store.path.open("a") as file:
        file.write('{"half a line')
    real, other = footprints.file_lock, FootprintStore(tmp_path / "f.jsonl")

    def first_another(lock: Path) -> AbstractContextManager[object]:
        monkeypatch.setattr(footprints, "file_lock", real)
        store.path.write_text(store.path.read_text().replace('{"half a line', ""))
        other.add(KEY, runs(2))
        return real(lock)

    monkeypatch.setattr(footprints, "file_lock", first_another)
    assert FootprintStore(store.path, warn=pytest.fail).read().of(KEY) == tuple(runs(1, 2))
    assert FootprintStore(store.path).read().of(KEY) == tuple(runs(1, 2))


def test_frozen_neither_writes_nor_notices_later_lines(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    FootprintStore(path).add(KEY, runs(1))
    frozen = FootprintStore(path, frozen=True)
    before = frozen.read().digest()
    FootprintStore(path).add(KEY, runs(2))
    frozen.add(KEY, runs(3))
    assert frozen.read().digest() == before
    assert len(frozen.read().of(KEY)) == 1
    assert len(FootprintStore(path).read().of(KEY)) == 2


def _add(path: Path, start: int) -> None:
    for number in range(start, start + 20):
        FootprintStore(path).add(KEY, runs(number))


def test_writers_in_several_processes_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_add, args=(path, start)) for start in (100, 200, 300)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(FootprintStore(path, warn=pytest.fail).read().of(KEY)) == 60


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SurroundingsFailed, match="HEADROOM_HOME"):
        FootprintStore(tmp_path / "file" / "f.jsonl").add(KEY, runs(1))


def test_a_line_written_before_devices_had_footprint_keys_is_still_read(tmp_path: Path) -> None:
    line = (
        '{"key": {"device": "cuda/RTX 3050", "digest": "", "knobs": "{}", "variant": "pitch/a", "versions": "torch 2"},'
        ' "seen": {"bytes": 7, "op": "run", "seconds": 1.5, "source": "driver"}}'
    )
    (tmp_path / "footprints.jsonl").write_text(line + "\n")
    card = FakeCard()
    device = CudaDevice(card, card, name="RTX 3050")
    key = Key.of(Variant("pitch/a", "pitch", "nodes.x.A"), "", device.footprint_key, "torch 2")
    assert FootprintStore(tmp_path / "footprints.jsonl").read().of(key) == (
        Observation("run", 7, 1.5, source="driver"),
    )


def test_what_of_a_device_a_measurement_depends_on() -> None:
    card = FakeCard()
    assert (
        SimulatedDevice(1, name="RTX 3050").footprint_key
        == SimulatedDevice(2, name="H200").footprint_key
        == "simulated"
    )
    assert CudaDevice(card, card, name="RTX 3050").footprint_key != CudaDevice(card, card, name="H200").footprint_key
    assert CpuDevice().footprint_key == f"cpu/{os.cpu_count()}"


def test_batch_and_segment_are_no_part_of_a_key_and_other_knobs_are() -> None:
    def key(**knobs: object) -> Key:
        return Key.of(replace(VARIANT, knobs={"model": "tiny", **knobs}), "abc", "cpu/2", "torch 2.11.0")

    assert key(batch=1) == key(batch=64, segment=7.8) == key() == KEY
    assert len({key(), key(model="full"), key(fp16=True)}) == 3
    one, other = ({"a": 1, "model": "tiny"}, {"model": "tiny", "a": 1})
    assert (
        len({replace(KEY, knobs=Key.of(replace(VARIANT, knobs=each), "", "", "x").knobs) for each in (one, other)}) == 1
    )


def test_an_observation_is_fitted_with_the_size_and_the_knobs_it_was_made_with() -> None:
    seen = Observation("run", 5, 0.1, item_seconds=3.0, channels=2, characters=7, batch=4.0, segment=7.8)
    sample = seen.sample()
    assert (sample.item.seconds, sample.item.channels, sample.item.characters, sample.value) == (3.0, 2, 7, 5.0)
    assert sample.knobs == {"batch": 4.0, "segment": 7.8}
    assert replace(seen, segment=None).sample().knobs == {"batch": 4.0}


def test_a_key_has_the_versions_of_the_installed_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprints, "memory_versions", lambda: "torch 9")
    assert Key.of(VARIANT, "abc", "cpu/2").versions == "torch 9"


def test_the_newest_two_hundred_of_a_key_are_used(tmp_path: Path) -> None:
    store, other = FootprintStore(tmp_path / "f.jsonl"), replace(KEY, digest="other")
    store.add(KEY, runs(*range(1, 121)))
    store.add(other, runs(1000))
    store.add(KEY, runs(*range(121, 251)))
    found = store.read().of(KEY)
    assert [each.item_seconds for each in found] == list(range(51, 251))
    assert store.read().of(other) == tuple(runs(1000))
    assert store.read().of(replace(KEY, digest="none")) == ()


def test_which_variants_were_ever_measured(tmp_path: Path) -> None:
    store = FootprintStore(tmp_path / "f.jsonl")
    assert store.read().variants() == frozenset()
    store.add(KEY, runs(1))
    store.add(replace(KEY, variant="speak/xtts", digest="old"), runs(1))
    assert store.read().variants() == {"pitch/crepe_tiny", "speak/xtts"}


def test_a_digest_is_of_all_that_was_measured(tmp_path: Path) -> None:
    store = FootprintStore(tmp_path / "f.jsonl")
    digests = [store.read().digest()]
    for seen in (runs(1), runs(2), runs(2)):
        store.add(KEY, seen)
        digests.append(store.read().digest())
    assert len(set(digests)) == 4
    assert {len(digest) for digest in digests} == {16}
    assert FootprintStore(store.path).read().digest() == digests[-1]


def test_nothing_to_add_makes_no_file(tmp_path: Path) -> None:
    FootprintStore(tmp_path / "f.jsonl").add(KEY, [])
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_frozen_says_what_is_damaged_and_leaves_it(tmp_path: Path) -> None:
    store = FootprintStore(tmp_path / "f.jsonl")
    store.add(KEY, runs(1))
    store.path.write_text(store.path.read_text() + "{\n[]\n")
    text, said = store.path.read_text(), list[str]()
    assert FootprintStore(store.path, frozen=True, warn=said.append).read().of(KEY) == tuple(runs(1))
    assert said == [f"2 lines of {store.path} are damaged and were not used."]
    assert store.path.read_text() == text
    assert not (tmp_path / "f.damaged").exists()


def test_a_file_that_cannot_be_read_is_said_once_and_counts_as_empty(tmp_path: Path) -> None:
    (tmp_path / "f.jsonl").mkdir()
    said = list[str]()
    store = FootprintStore(tmp_path / "f.jsonl", warn=said.append)
    assert store.read().of(KEY) == store.read().of(KEY) == ()
    assert len(said) == 1
    assert "cannot be read" in said[0]
    FootprintStore(tmp_path / "none.jsonl", warn=pytest.fail).read()


def test_a_damaged_file_that_cannot_be_repaired_is_used_as_far_as_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FootprintStore(tmp_path / "f.jsonl")
    store.add(KEY, runs(1, 2))
    store.path.write_text(store.path.read_text() + "{\n")

    def refuse(*_: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(footprints, "write_atomic", refuse)
    said = list[str]()
    assert FootprintStore(store.path, warn=said.append).read().of(KEY) == tuple(runs(1, 2))
    assert said == [f"1 lines of {store.path} are damaged, and it cannot be repaired: read-only."]


def test_what_a_later_version_writes_beside_is_passed_over(tmp_path: Path) -> None:
    store = FootprintStore(tmp_path / "f.jsonl")
    store.add(KEY, runs(1))
    text = store.path.read_text().replace('"seen": {', '"later": 1, "seen": {"later": "x", ')
    store.path.write_text(text)
    assert FootprintStore(store.path, warn=pytest.fail).read().of(KEY) == tuple(runs(1))


@pytest.mark.parametrize(
    ("name", "value"),
    [("bytes", 2**53), ("held_bytes", -1), ("seconds", -0.5), ("characters", -1), ("batch", -1), ("op", "walk")],
)
def test_a_figure_out_of_range_is_damage_and_its_bounds_are_not(tmp_path: Path, name: str, value: object) -> None:
    store = FootprintStore(tmp_path / "f.jsonl")
    good = Observation("run", 2**53 - 1, 0, batch=0, segment=0, predicted_bytes=0)
    store.add(KEY, [replace(good, **{name: value}), good])
    assert FootprintStore(store.path).read().of(KEY) == (good,)


def test_an_estimate_is_what_was_measured_and_else_what_was_declared() -> None:
    declared = replace(DECLARED, load_peak=500 * MIB, reload_seconds=4.0)
    found = estimate(runs(1, 2, 3), declared)
    assert found.footprint.workspace.keys() == {"base", "per_batch_second"}
    assert found.footprint.source == "measured here, 3 observations"
    assert (found.footprint.weights, found.footprint.load_peak) == (100 * MIB, 500 * MIB)
    assert (found.footprint.load_seconds, found.footprint.reload_seconds) == (9.0, 4.0)
    assert found.regression is not None
    assert found.regression.samples == 3


def test_an_estimate_of_several_loads_is_the_worst_of_their_bytes() -> None:
    loads = [
        Observation("load", size * MIB, seconds, held_bytes=held * MIB)
        for size, held, seconds in ((170, 160, 0.5), (150, 175, 3.0), (100, 100, 0.2))
    ]
    found = estimate([*loads, *runs(1)], DECLARED).footprint
    assert (found.weights, found.load_peak) == (175 * MIB, 175 * MIB)
    assert (found.load_seconds, found.reload_seconds) == (3.0, 0.2)


def test_loads_alone_measure_nothing_that_a_plan_could_go_by() -> None:
    found = estimate([Observation("load", 170 * MIB, 1.0, held_bytes=160 * MIB)], DECLARED)
    assert (found.footprint, found.margin, found.measured, found.regression) == (DECLARED, 0.2, False, None)


@pytest.mark.parametrize(("predicted", "margin"), [(None, 0.0208), (100, 0.0208), (95, 5 / 95), (50, 0.1), (0, 0.0208)])
def test_what_plans_were_wrong_by_widens_the_margin(predicted: int | None, margin: float) -> None:
    """Of 300 that the fit predicts well, what their plans had expected before."""
    seen = [Observation("run", 100 * MIB, 0.1, item_seconds=1) for _ in range(150)]
    seen += [replace(each, predicted_bytes=predicted if predicted is None else predicted * MIB) for each in seen]
    errors = 150 if predicted in (None, 0) else 300
    expected = 0.02 + 0.08 * 3 / (150 + errors) if margin == 0.0208 else margin
    assert estimate(seen, DECLARED).margin == pytest.approx(expected, abs=1e-4)
