"""A thread that looks for the highest value, until it is stopped."""

import threading

from pipelines.devices.peak_sampler import PeakSampler


def test_the_highest_of_all_looks_is_kept() -> None:
    values, seen = iter([3, 9, 4]), threading.Event()

    def read() -> int:
        value = next(values, None)
        if value is None:
            seen.set()
            return 0
        return value

    sampler = PeakSampler(read, 0.001)
    assert seen.wait(20)
    assert sampler.stop() == 9


def test_it_ends_when_it_is_stopped_and_has_seen_nothing_before_its_first_look() -> None:
    before = threading.active_count()
    sampler = PeakSampler(lambda: 5, 3600)
    assert threading.active_count() == before + 1
    assert sampler.stop() == 0
    assert threading.active_count() == before


def test_a_program_may_end_while_it_looks() -> None:
    sampler = PeakSampler(lambda: 0, 3600)
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "memory sampler")
    sampler.stop()
