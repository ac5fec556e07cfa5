"""The fit on known answers, and the margin's promises."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.footprints import regression as module
from pipelines.footprints.regression import NOISE, Sample, margin, regress
from pipelines.schema.config import Item
from pipelines.schema.units import GIB, MIB


def sample(value: float, seconds: float, batch: float = 1, segment: float | None = None, characters: int = 0) -> Sample:
    knobs = {"batch": batch} if segment is None else {"batch": batch, "segment": segment}
    return Sample(Item("x", seconds=seconds, characters=characters), knobs, value)


def test_a_line_is_found_exactly() -> None:
    found = regress([sample(100 * MIB + 2 * MIB * s, s) for s in (5, 10, 20, 40)])
    assert found.predict(Item("y", seconds=300), {"batch": 1}) == pytest.approx(700 * MIB, rel=0.01)
    assert found.worst < 0.04  # the grain, 4 MiB of 110


def test_many_samples_cost_no_fit_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = module._solve, list[int]()
    monkeypatch.setattr(module, "_solve", lambda samples: made.append(len(samples)) or real(samples))
    found = regress([sample(100 * MIB + (2 if s % 40 else 3) * MIB * s, s) for s in range(1, 121)])
    assert made == [120, *[108] * 10]
    assert len(found.errors) == 120
    assert [at for at, error in enumerate(found.errors, 1) if error > 0.2] == [80, 120]


def test_a_batch_is_told_from_a_constant() -> None:
    found = regress([sample(50 * MIB + MIB * s * b, s, b) for s in (4, 8, 16) for b in (1, 4)])
    assert found.predict(Item("y", seconds=10), {"batch": 16}) == pytest.approx(214 * MIB, rel=1e-3)


def test_a_segment_bounds_growth() -> None:
    found = regress([sample(3 * MIB + 42 * MIB * min(s, 8), s, segment=8) for s in (2, 4, 8, 16, 60)])
    assert found.predict(Item("y", seconds=600), {"segment": 8}) == pytest.approx(343 * MIB, rel=1e-3)


def test_a_segment_and_a_slope_at_once() -> None:
    law = lambda s: 10 * MIB + 40 * MIB * min(s, 8) + 2 * MIB * s  # noqa: E731
    found = regress([sample(law(s), s, segment=8) for s in (2, 4, 6, 8, 16, 30, 60)])
    assert found.predict(Item("y", seconds=240), {"segment": 8}) == pytest.approx(law(240), rel=0.01)


def test_one_size_gives_a_constant() -> None:
    found = regress([sample(80 * MIB, 10), sample(90 * MIB, 10)])
    assert 80 * MIB <= found.predict(Item("y", seconds=10), {}) <= 106 * MIB


def test_one_wild_observation_does_not_bend_the_line() -> None:
    rng = random.Random(1)
    clean = [sample((GIB + 10 * MIB * s) * rng.uniform(0.99, 1.01), s) for s in range(10, 110, 10)]
    found = regress([*clean, sample(5 * GIB, 15)])
    assert found.predict(Item("y", seconds=60), {}) == pytest.approx(GIB + 600 * MIB, rel=0.05)


@given(
    base=st.integers(0, 2 * GIB),
    slope=st.integers(0, 50 * MIB),
    seed=st.integers(0, 1000),
)
def test_unseen_sizes_are_within_ten_percent_and_never_under_after_the_margin(base: int, slope: int, seed: int) -> None:
    rng = random.Random(seed)

    def law(seconds: float) -> float:
        return (base + slope * seconds) * rng.uniform(0.99, 1.01) + rng.uniform(0, 2 * MIB)

    found = regress([sample(law(s), s) for s in (5, 10, 20, 40, 80)])
    share = margin(found.errors)
    for seconds in (7, 33, 120):
        predicted, measured = found.predict(Item("y", seconds=seconds), {}), law(seconds)
        assert abs(predicted - measured) <= max(0.1 * measured, NOISE)
        assert predicted * (1 + share) >= measured


@given(st.lists(st.floats(-1, 5), min_size=1, max_size=300))
def test_a_margin_stays_between_two_and_ten_percent(errors: list[float]) -> None:
    assert 0.02 <= margin(errors) <= 0.10


def test_a_margin_sinks_with_evidence_and_rises_with_error() -> None:
    shares = [margin([0.0] * count) for count in (1, 3, 6, 30, 300)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == 0.10
    assert margin([0.07] * 100) == 0.07
    assert margin([0.5] * 100) == 0.10


def test_nothing_observed_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        regress([])


def test_a_line_has_two_terms_and_no_third() -> None:
    found = regress([sample(100 * MIB + 2 * MIB * s, s) for s in (5, 10, 20, 40)])
    assert found.terms == {
        "base": pytest.approx(104 * MIB, abs=100),  # with the grain
        "per_batch_second": pytest.approx(2 * MIB, abs=100),
    }
    assert all(isinstance(value, int) for value in found.terms.values())
    assert found.samples == 4


@pytest.mark.parametrize(("value", "error"), [(80, -4 / 84), (1, -4 / 32), (28, -4 / 32), (200, -4 / 204)])
def test_an_error_is_a_share_of_what_was_predicted_or_of_what_is_noise(value: int, error: float) -> None:
    """The grain of 4 MiB is all that one sample can be wrong by."""
    found = regress([sample(value * MIB, 10)])
    assert found.errors == (pytest.approx(error, abs=1e-6),)
    assert found.worst == pytest.approx(-error, abs=1e-6)


def test_each_of_three_is_predicted_by_a_line_that_has_not_seen_it() -> None:
    found = regress([sample(100 * MIB, 1), sample(200 * MIB, 2), sample(600 * MIB, 3)])
    assert found.errors[2] == pytest.approx((600 - 304) / 304, rel=1e-3)


def test_of_two_none_can_be_left_out() -> None:
    found = regress([sample(100 * MIB, 1), sample(200 * MIB, 2)])
    assert found.errors == (pytest.approx(-4 / 104, abs=1e-3), pytest.approx(-4 / 204, abs=1e-3))
    assert found.worst == pytest.approx(4 / 104, abs=1e-3)
    assert found.predict(Item("y", seconds=4), {}) == pytest.approx(404 * MIB, rel=1e-3)


def test_three_sizes_do_not_decide_three_terms() -> None:
    found = regress([sample(300 * MIB + 40 * MIB * min(s, 8) + 2 * MIB * s, s, segment=8) for s in (2, 8, 60)])
    assert len(found.terms) <= 2


def test_no_more_than_three_terms_are_believed() -> None:
    def law(seconds: float, batch: int) -> float:
        return (300 + 10 * batch * seconds + 300 * min(seconds, 4) + 200 * batch) * MIB

    made = [sample(law(s, b), s, b, segment=4) for s in (1, 2, 4, 8, 16, 32) for b in (1, 2, 3, 7)]
    terms = dict(regress(made).terms)
    assert terms.pop("base") == 20 * MIB  # half of what is noise, and the grain: it is none of the three
    assert len(terms) == 3


def test_an_outlier_lifts_the_base_by_half_of_what_is_noise_and_the_grain() -> None:
    found = regress([*(sample(100 * MIB, s) for s in range(1, 10)), sample(500 * MIB, 10)])
    assert found.predict(Item("y", seconds=5), {}) == pytest.approx(120 * MIB, abs=3 * MIB)


def test_ordinary_observations_lie_under_the_line() -> None:
    made = [sample((100 + s + (6 if s % 2 else 0)) * MIB, s) for s in range(1, 11)]
    found = regress(made)
    above = [each.value - found.predict(each.item, each.knobs) for each in made]
    assert max(above) == pytest.approx(-4 * MIB, abs=MIB / 10)


def test_a_slope_that_brings_little_is_not_believed() -> None:
    """It would be trusted far outside of what was seen: at 10 minutes, half as much again."""
    noisy = [sample((1000 + s + (40 if s % 2 else -40)) * MIB, s) for s in range(1, 21)]
    assert "per_batch_second" not in regress(noisy).terms
    clear = [sample((1000 + 8 * s + (20 if s % 2 else -20)) * MIB, s) for s in range(1, 21)]
    assert regress(clear).terms["per_batch_second"] == pytest.approx(8 * MIB, rel=0.1)


def test_memory_does_not_shrink_with_the_input() -> None:
    found = regress([sample((500 - 20 * s) * MIB, s) for s in (1, 2, 4, 8)])
    assert set(found.terms) == {"base"}


def test_characters_and_channels_have_terms_of_their_own() -> None:
    text = regress([sample(50 * MIB + MIB * n, 0, characters=n) for n in (10, 50, 100)])
    assert text.predict(Item("y", characters=400), {}) == pytest.approx(454 * MIB, rel=0.01)
    sounds = [(s, c) for s in (10, 20, 40) for c in (1, 2)]
    stereo = regress(
        [Sample(Item("x", seconds=s, channels=c), {"batch": 1}, (50 + 3 * s * c) * MIB) for s, c in sounds]
    )
    assert stereo.predict(Item("y", seconds=100, channels=2), {}) == pytest.approx(654 * MIB, rel=0.01)


@pytest.mark.parametrize(
    ("errors", "share"),
    [
        ([0.0] * 3, 0.1),
        ([0.0] * 4, 0.08),
        ([0.01] * 100, 0.0224),
        ([*[0.0] * 97, 0.05, 0.05, 0.05], 0.05),
        ([*[0.0] * 98, 0.05, 0.09], 0.0224),
        ([*[0.0] * 299, 0.09], 0.0208),
        ([-0.09] * 100, 0.0224),
    ],
)
def test_a_margin_is_the_error_that_two_in_a_hundred_pass(errors: list[float], share: float) -> None:
    assert margin(errors) == pytest.approx(share)


def test_a_declared_figure_has_a_margin_of_a_fifth() -> None:
    assert (margin([]), margin([0.0] * 100, measured=False)) == (0.2, 0.2)
