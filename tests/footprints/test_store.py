"""Observations survive crashes, damage and staleness."""

import multiprocessing
import os
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pipelines.devices.cpu import CpuDevice
from pipelines.devices.cuda import CudaDevice
from pipelines.devices.simulated import SimulatedDevice
from pipelines.footprints import store as footprints
from pipelines.footprints.store import FootprintStore, Key, Observation, estimate
from pipelines.schema.config import Footprint, Variant
from pipelines.schema.errors import SurroundingsFailed
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
