import random

import pytest

from benchmarks.adaptive import detection, latency, low_vram
from pipelines.schema.hardware import TIERS
from pipelines.stream.playback import gaps_at_best


def test_every_card_of_the_table_is_right():
    found = detection.result()
    assert found["cards"] >= 30
    assert found["wrong"] == []


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("persistent", [False, True])
def test_no_avoidable_gap_and_the_first_sound_in_time(tier, persistent):
    found = latency.row(tier, 0.99, persistent, count=40, seed=6)
    assert found.avoidable_gaps == 0
    assert found.first_audio_max <= found.first_audio_allowed
    assert found.said_so == found.slower_than_real_time
    assert found.in_range + found.out_of_range_said == found.utterances


@pytest.mark.parametrize("tier", TIERS)
def test_utilisation_is_held_where_the_speed_allows(tier):
    found = latency.row(tier, 0.5, False, count=30, seed=8)
    assert found.in_range_of_those == found.fast_enough_to_rest


def test_the_stand_in_draws_what_it_says():
    alike = latency.draw(random.Random(2), 0.8, persistent=True).works[1:]
    apart = latency.draw(random.Random(2), 0.8, persistent=False).works[1:]
    assert len(set(alike)) == 1
    assert len(set(apart)) == len(apart)
    assert all(0.8 * 0.5 * 0.6 <= work <= 0.8 * 0.5 * 1.4 for work in (*alike, *apart))


def test_a_gap_that_the_largest_prebuffer_covers_is_avoidable():
    late = latency.Utterance((0.4, 0.4, 0.4, 2.0, 0.4))
    assert len(gaps_at_best(late.chunks, latest=0.5)) == 1
    assert gaps_at_best(late.chunks, latest=3.0) == []


def test_planned_spends_a_third_of_sequentials_exposed_loads_at_most():
    found = low_vram.batch_of_ten()
    assert found["planned_peak_bytes"] <= found["limit_bytes"]
    assert found["ratio"] <= 1 / 3
