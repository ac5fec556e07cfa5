import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.schema.settings import Tier
from pipelines.stream.pacing import Pacer, Speed, StreamSettings, reserve

MODEST = StreamSettings(1.25, (1.0, 1.5), 0.5, (0.4, 0.6), 0.01, 4.5, 0.8)


def speed(*ratios, promised=0.5):
    made = Speed(promised)
    for ratio in ratios:
        made.add(ratio, 1.0)
    return made


def brute(found, chunk, remaining):
    """The same sum, looked for at every chunk."""
    last = max(1, math.ceil(remaining / chunk))
    spread = 5 * found.deviation * chunk
    return max(
        k * found.mean * chunk - (k - 1) * chunk + spread * math.sqrt(k + k * k / found.weight)
        for k in range(1, last + 1)
    )


@given(st.lists(st.floats(0.05, 1.5), min_size=1, max_size=40), st.floats(0.1, 2), st.floats(0.1, 120))
@settings(max_examples=200, deadline=None)
def test_the_reserve_is_the_largest_shortfall_of_any_chunk(ratios, chunk, remaining):
    found = speed(*ratios)
    exact = brute(found, chunk, remaining)
    # Where the peak lies between two whole chunks the closed form may be above, by less than one chunk's share of it.
    assert reserve(found, chunk, remaining) >= exact - 1e-9
    assert reserve(found, chunk, remaining) <= exact * 1.05 + 0.05 * chunk


def test_more_to_come_jitter_or_slowness_never_asks_for_less():
    base = reserve(speed(0.5, 0.5, 0.5), 0.5, 20)
    assert reserve(speed(0.5, 0.5, 0.5), 0.5, 60) >= base
    assert reserve(speed(0.2, 0.5, 0.8), 0.5, 20) >= base
    assert reserve(speed(0.9, 0.9, 0.9), 0.5, 20) >= base
    assert reserve(speed(0.5), 0.5, 0) == 0


def test_slower_than_real_time_needs_what_is_lost_on_the_way():
    found = speed(*[1.2] * 2000)  # so many that no doubt is left
    assert reserve(found, 0.5, 60) >= 0.2 * 60
    pacer = Pacer(MODEST, 60)
    for _ in range(4):
        pacer.made(0.6, 0.5)
    assert any("Slower than real time" in note for note in pacer.notes)


def test_before_anything_is_measured_the_tier_is_believed():
    assert Pacer(MODEST, 20).prebuffer() == 1.25
    assert speed(promised=0.8).mean == 0.8
    assert speed(0.2, promised=0.8).mean == pytest.approx(0.6)  # two seconds believed, one measured
    assert speed(*[0.2] * 400, promised=0.8).mean < 0.21
    assert speed(1.4, promised=0.8).mean == 1.4  # slower than promised is believed at once


def test_the_first_chunk_tells_nothing_of_the_speed_but_counts_as_work():
    pacer = Pacer(MODEST, 60)
    pacer.made(3.0, 0.5)
    assert pacer.speed.count == 0
    assert pacer.busy == 3.0
    assert pacer.real_time_factor() == 6.0


def test_a_fast_and_steady_machine_needs_no_more_than_the_tier_says():
    pacer = Pacer(MODEST, 60)
    for _ in range(20):
        pacer.made(0.1, 0.5)
    assert pacer.prebuffer() == 1.25


def test_memory_above_nine_tenths_of_the_limit_shrinks_the_prebuffer():
    pacer = Pacer(MODEST, 60)
    for work in (0.9, 0.3, 0.6, 0.4, 0.5):
        pacer.made(work, 0.5)
    assert pacer.prebuffer(pressure=0.90) > 1.5
    assert pacer.prebuffer(pressure=0.91) == 1.0
    assert any("91%" in note for note in pacer.notes)


def test_nothing_rests_before_playing_or_out_of_what_is_needed():
    pacer = Pacer(MODEST, 60)
    for _ in range(10):
        pacer.made(0.2, 0.5)
    assert pacer.rest(buffered=5.0, playing=False) == 0
    assert pacer.rest(buffered=0.0, playing=True) == 0
    assert pacer.rest(buffered=50.0, playing=True) == pytest.approx(2.0)  # 10 x 0.2 s of work at a target of one half
    assert pacer.utilisation() == pytest.approx(0.5)


def test_the_yield_is_taken_even_where_utilisation_is_low_enough():
    pacer = Pacer(MODEST, 60)
    pacer.made(0.1, 0.5)
    pacer.rested = 10.0
    assert pacer.rest(buffered=50.0, playing=True) == 0.01


@pytest.mark.parametrize("rtf", [0.2, 0.4, 0.55])
def test_utilisation_comes_into_range_where_the_speed_allows(rtf):
    pacer, buffered, rng = Pacer(MODEST, 40), 1.5, random.Random(3)
    for _ in range(80):
        work = rtf * 0.5 * rng.uniform(0.6, 1.4)
        pacer.made(work, 0.5)
        buffered += 0.5 - work
        assert buffered > 0, "a gap"
        buffered -= pacer.rest(buffered, playing=True)
    low, high = MODEST.utilisation_range
    assert pacer.utilisation() >= low
    assert pacer.utilisation() <= (high if rtf < 0.5 else 1)


def test_settings_of_a_tier_and_a_value_outside_its_range_widens_it():
    message = Tier("modest", prebuffer=5.0, prebuffer_range=(1.0, 1.5), utilisation=0.95, utilisation_range=(0.4, 0.6),
                yield_seconds=0.01, first_audio=4.5, real_time_factor=0.8)  # fmt: skip
    found = StreamSettings.of(message)
    assert (found.prebuffer_range, found.utilisation_range) == ((1.0, 5.0), (0.4, 0.95))


def test_a_tier_that_says_nothing_of_streams_has_the_defaults_and_what_it_says_counts():
    assert StreamSettings.of(Tier("bare")) == StreamSettings()
    message = StreamSettings.of(Tier("some", prebuffer=0.25, first_audio=2.0))
    assert (message.prebuffer, message.prebuffer_range, message.first_audio) == (0.25, (0.25, 1.5), 2.0)
