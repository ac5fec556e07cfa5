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
