"""The CUDA device's arithmetic against a card made of numbers."""

import contextlib
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.devices.cuda import UNMEASURED_CONTEXT, CudaDevice
from pipelines.devices.out_of_memory import is_out_of_memory
from tests.devices.fakes import MB, OURS, FakeCard


def device(card: FakeCard, **more: int) -> CudaDevice:
    return CudaDevice(card, card, pid=OURS, sample_seconds=0.001, **more)


def test_free_counts_cached_blocks_that_can_be_reused() -> None:
    card = FakeCard(foreign={1: 1000 * MB})
    cuda = device(card)
    card.start(0)
    card.allocate(2000 * MB)
    card.free(1500 * MB)
    assert card.card(0).free == (8000 - 1000 - 400 - 2000) * MB
    assert cuda.free_bytes() == (8000 - 1000 - 400 - 500) * MB
    assert cuda.used_bytes() == (400 + 500) * MB


def test_a_peak_between_two_polls_is_seen_through_torchs_mark() -> None:
    card = FakeCard()
    cuda = device(card)
    card.start(0)
    with cuda.watch() as reading:
        card.allocate(3000 * MB)
        card.free(3000 * MB)
        cuda.reclaim()
    assert reading.peak_bytes == 3400 * MB
    assert reading.end_bytes == 400 * MB
    assert reading.beside["torch_active"] == 3000 * MB


def test_an_inner_watch_does_not_lose_the_outer_ones_peak() -> None:
    card = FakeCard()
    cuda = device(card)
    card.start(0)
    with cuda.watch() as outer:
        card.allocate(3000 * MB)
        card.free(3000 * MB)
        cuda.reclaim()
        with cuda.watch() as inner:
            card.allocate(100 * MB)
    assert (outer.peak_bytes, inner.peak_bytes) == (3400 * MB, 500 * MB)


def test_engines_outside_torch_count() -> None:
    card = FakeCard()
    cuda = device(card)
    with cuda.watch() as reading:
        card.start(0)
        card.outside = 900 * MB
        card.allocate(50 * MB)
    assert reading.peak_bytes == 1350 * MB
    assert reading.beside["outside_torch"] == 1300 * MB


@pytest.mark.parametrize("lists_us", [True, False])
def test_ours_is_told_from_others_with_and_without_pids(lists_us: bool) -> None:
    card = FakeCard(foreign={4242: 2700 * MB}, lists_us=lists_us)
    cuda = device(card)
    card.start(0)
    card.allocate(1000 * MB)
    assert cuda.used_bytes() == 1400 * MB
    assert sum(process.bytes for process in cuda.others()) == 2700 * MB
    assert [process.pid for process in cuda.others()] == ([4242] if lists_us else [0])


def test_the_context_is_measured_once_there_is_one() -> None:
    card = FakeCard()
    cuda = device(card)
    assert cuda.context_bytes() == UNMEASURED_CONTEXT
    assert cuda.measure_context() == 400 * MB
    card.allocate(100 * MB)
    assert cuda.context_bytes() == 400 * MB


@given(limit=st.integers(500 * MB, 8000 * MB), sizes=st.lists(st.integers(1, 2000 * MB), max_size=12))
def test_under_a_cap_the_driver_never_counts_more(limit: int, sizes: list[int]) -> None:
    card = FakeCard()
    cuda = device(card)
    card.start(0)
    cuda.cap(limit)
    for size in sizes:
        with contextlib.suppress(RuntimeError):
            card.allocate(size)
        assert card.ours() <= limit + 1
        assert cuda.free_bytes() <= limit


def test_a_cap_set_before_cuda_starts_is_in_force_in_the_first_step() -> None:
    card = FakeCard()
    cuda = device(card)
    cuda.cap(2400 * MB)
    card.start(0)
    with cuda.watch(), pytest.raises(RuntimeError, match="out of memory") as refused:
        card.allocate(2001 * MB)
    assert is_out_of_memory(refused.value)
    cuda.cap(None)
    card.allocate(7000 * MB)


def test_what_other_engines_hold_is_taken_off_the_cap_only_while_they_hold_it() -> None:
    card = FakeCard(outside=900 * MB)
    cuda = device(card)
    cuda.cap(2400 * MB)
    card.start(0)
    with cuda.watch(), pytest.raises(RuntimeError, match="out of memory"):
        card.allocate(1101 * MB)
    card.outside = 0
    with cuda.watch() as reading:
        card.allocate(2000 * MB)
    assert reading.peak_bytes == 2400 * MB


def test_what_torch_cached_before_is_neither_a_steps_own_nor_kept_from_other_engines() -> None:
    card = FakeCard()
    cuda = device(card)
    card.start(0)
    with cuda.watch():
        card.allocate(3000 * MB)
        card.free(3000 * MB)
    with cuda.watch() as reading:
        assert card.card(0).free == 7600 * MB
        card.outside = 900 * MB
    assert reading.peak_bytes == 1300 * MB


def test_a_card_that_only_workers_use_is_told_from_what_others_take() -> None:
    card = FakeCard(foreign={5: 600 * MB})
    cuda = device(card)
    cuda.adopt(5)
    card.foreign[6] = 2000 * MB
    assert cuda.used_bytes() == 600 * MB
    assert [(process.pid, process.bytes) for process in cuda.others()] == [(6, 2000 * MB)]


def test_workers_count_as_ours() -> None:
    card = FakeCard(foreign={5: 600 * MB, 6: 100 * MB})
    cuda = device(card)
    card.start(0)
    cuda.adopt(5)
    assert cuda.used_bytes() == 1000 * MB
    assert [process.pid for process in cuda.others()] == [6]


def test_a_card_is_called_what_the_driver_calls_it_and_is_as_large_unless_a_smaller_size_is_given() -> None:
    card = FakeCard()
    whole, part = CudaDevice(card, card, index=3), CudaDevice(card, card, total_bytes=2000 * MB, name="mine")
    assert (whole.name, whole.total_bytes, whole.spec, whole.title) == ("Fake 8 GB", 8000 * MB, "cuda:3", "GPU 3")
    assert (part.name, part.total_bytes, part.torch_device) == ("mine", 2000 * MB, "cuda:0")
    assert CudaDevice(card, card, total_bytes=9000 * MB).total_bytes == 8000 * MB
    assert whole.health().utilisation == 0.5


def test_free_is_bounded_by_the_driver_the_size_and_the_cap() -> None:
    card = FakeCard(foreign={1: 1000 * MB})
    cuda = device(card, total_bytes=3000 * MB)
    card.start(0)
    card.allocate(500 * MB)
    assert cuda.free_bytes() == (3000 - 400 - 500) * MB
    cuda.cap(1200 * MB)
    assert cuda.free_bytes() == (1200 - 900) * MB
    card.foreign[1] = 7000 * MB
    assert cuda.free_bytes() == (8000 - 7000 - 900) * MB
    cuda.cap(500 * MB)
    assert cuda.free_bytes() == 0


def test_where_the_driver_lists_nobody_what_was_there_at_the_start_is_not_ours() -> None:
    card = FakeCard(foreign={1: 700 * MB}, lists_us=False)
    early = device(card)
    card.start(0)
    card.allocate(100 * MB)
    assert early.used_bytes() == 500 * MB
    assert early.context_bytes() == 400 * MB
    card.foreign[1] = 0  # it has ended: what torch has reserved is ours at least
    assert early.used_bytes() == 100 * MB
    late = device(card)  # torch has started: who held what before is not known any more
    assert late.used_bytes() == 500 * MB


def test_others_are_sorted_and_named_and_an_unexplained_rest_only_where_nobody_is() -> None:
    card = FakeCard(foreign={4_194_301: 5 * MB, os.getpid(): 9 * MB})
    found = device(card).others()
    assert [(each.pid, each.bytes) for each in found] == [(os.getpid(), 9 * MB), (4_194_301, 5 * MB)]
    assert found[0].name.startswith(("python", "pytest"))
    assert found[1].name == "?"
    unlisted = FakeCard(foreign={1: 300 * MB}, lists_us=False)
    cuda = device(unlisted)
    assert [(each.pid, each.name, each.bytes) for each in cuda.others()] == [(0, "other processes", 300 * MB)]
    unlisted.foreign.clear()
    assert device(unlisted).others() == ()


def test_torchs_own_counters_stand_beside_the_reading() -> None:
    card = FakeCard()
    cuda = device(card)
    card.start(0)
    card.allocate(200 * MB)
    with cuda.watch() as reading:
        card.allocate(300 * MB)
        card.free(100 * MB)
    assert reading.source == "driver"
    assert (reading.start_bytes, reading.end_bytes) == (600 * MB, 800 * MB)
    assert reading.beside == {
        "torch_allocated": 500 * MB, "torch_active": 500 * MB, "torch_reserved": 500 * MB, "outside_torch": 400 * MB,
    }  # fmt: skip
    assert cuda.framework_bytes() == (400 * MB, 500 * MB)


def test_a_moment_that_only_the_drivers_poll_has_seen_is_the_peak() -> None:
    card = FakeCard()
    cuda = device(card)
    card.start(0)
    looks = threading.Semaphore(0)
    real = card.processes

    def polled(index: int) -> dict[int, int]:
        found = real(index)
        looks.release()
        return found

    card.processes = polled  # type: ignore[method-assign]
    with cuda.watch() as reading:
        card.outside = 2000 * MB
        while looks.acquire(blocking=False):
            pass
        assert looks.acquire(timeout=20)
        assert looks.acquire(timeout=20)  # the first may have been on its way
        card.outside = 0
    assert reading.peak_bytes == 2400 * MB
    assert reading.end_bytes == 400 * MB


def test_caches_go_back_before_the_first_of_overlapping_watches_only() -> None:
    card = FakeCard()
    cuda = device(card)
    card.start(0)
    with cuda.watch():
        card.allocate(100 * MB)
        card.free(100 * MB)
        with cuda.watch():
            assert card.reserved == 100 * MB
    with cuda.watch():
        assert card.reserved == 0


@pytest.mark.parametrize(("index", "total", "name"), [(0, None, None), (0, 3000 * MB, "mine"), (1, None, None)])
def test_a_card_is_opened_by_its_number_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, index: int, total: int | None, name: str | None
) -> None:
    monkeypatch.setattr("pipelines.devices.cuda.Nvml", FakeCard)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    found = CudaDevice.open(index, total, name)
    assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    if index == 1:
        assert found is None
        return
    assert found is not None
    assert (found.total_bytes, found.name) == (total or 8000 * MB, name or "Fake 8 GB")


def test_the_order_of_cards_that_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.devices.cuda.Nvml", FakeCard)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    CudaDevice.open(0, None, None)
    assert os.environ["CUDA_DEVICE_ORDER"] == "FASTEST_FIRST"


def test_a_cap_below_what_is_outside_torch_leaves_torch_nothing() -> None:
    card = FakeCard(outside=900 * MB)
    cuda = device(card)
    card.start(0)
    cuda.cap(1000 * MB)
    assert card.cap == 0
    cuda.cap(2000 * MB)
    assert card.cap == 700 * MB
    cuda.cap(None)
    assert card.cap is None


def test_a_card_that_nothing_of_ours_is_on() -> None:
    card = FakeCard(foreign={1: 300 * MB})
    cuda = device(card)
    assert (cuda.used_bytes(), cuda.free_bytes()) == (0, 7700 * MB)
    with cuda.watch() as reading:
        pass
    assert (reading.peak_bytes, set(reading.beside.values())) == (0, {0})


def test_measurements_are_shared_by_cards_of_one_name() -> None:
    card = FakeCard()
    assert CudaDevice(card, card, name="RTX 3050").footprint_key == "cuda/RTX 3050"
