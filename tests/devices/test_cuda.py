"""The CUDA device's arithmetic against a card made of numbers."""

import contextlib

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
