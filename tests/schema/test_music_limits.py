import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.config.catalog import conf_dir, load_yaml
from pipelines.schema.errors import UsageError
from pipelines.schema.music_limits import Bound, MusicLimits, limited, music_limits, within
from pipelines.schema.settings import MusicTier
from pipelines.schema.units import GIB

ROWS = load_yaml((conf_dir() / "ladder" / "music.yaml").read_text())["rows"]


@pytest.mark.parametrize(
    ("gib", "duration", "with_lm", "batch", "lm"),
    [(2, 180, None, 1, ()), (4, 180, None, 1, ()), (4.001, 360, None, 1, ()), (6, 360, None, 1, ()),
     (8, 360, 240, 2, ("0.6B",)), (12, 480, 360, 2, ("0.6B",)), (16, 600, 480, 4, ("1.7B", "0.6B")),
     (24, 600, 600, 8, ("4B", "1.7B", "0.6B"))],
)  # fmt: skip
def test_the_ladder_by_the_limit_in_force(gib, duration, with_lm, batch, lm):
    limits = music_limits(ROWS, int(gib * GIB))
    assert (limits.duration, limits.duration_with_lm, limits.batch, limits.lm) == (duration, with_lm, batch, lm)


def test_no_limit_is_the_last_rung():
    assert music_limits(ROWS, None) == music_limits(ROWS, 1000 * GIB)


@given(st.integers(1, 200), st.integers(0, 200))
def test_no_rung_allows_more_than_the_one_above_it(gib, more):
    low, high = music_limits(ROWS, gib * GIB), music_limits(ROWS, (gib + more) * GIB)
    assert low.duration <= high.duration
    assert (low.duration_with_lm or 0) <= (high.duration_with_lm or 0)
    assert low.batch <= high.batch
    assert set(low.lm) <= set(high.lm)
    assert low.offload >= high.offload


def test_what_is_said_outranks_the_ladder_but_brings_no_language_model():
    limits = music_limits(ROWS, 4 * GIB, MusicTier(duration=120, duration_with_lm=120, offload=False))
    assert limits == MusicLimits(120, None, 1, (), False, False, True)


def test_with_the_language_model_a_request_may_be_shorter():
    limits = music_limits(ROWS, 8 * GIB)
    request = {"duration": 300, "batch": 1, "lm": "0.6B"}
    held, notes = within(request, limits.bounds(request))
    assert held["duration"] == 240
    assert len(notes) == 1
    assert "at most 240" in notes[0]
    without = {**request, "lm": None}
    assert within(without, limits.bounds(without)) == (without, ())


def test_refusing_names_every_value_over_its_bound():
    limits = music_limits(ROWS, 4 * GIB)
    request = {"duration": 200, "batch": 2, "lm": "4B"}
    with pytest.raises(UsageError) as caught:
        within(request, limits.bounds(request), "refuse")
    assert all(name in str(caught.value) for name in ("duration=200", "batch=2", "lm='4B'"))


def test_the_decorator_holds_positions_keywords_and_defaults_and_says_so():
    message = []

    @limited(music_limits(ROWS, 4 * GIB), warn=message.append)
    def generate(text, duration=240.0, batch=2, lm=None, *, seed=0):
        """Make music."""
        return text, duration, batch, lm, seed

    assert generate("a", 500.0, lm="4B", seed=3) == ("a", 180.0, 1, None, 3)
    assert len(message) == 3
    assert generate("a", 100.0, 1) == ("a", 100.0, 1, None, 0)
    assert len(message) == 3
    assert generate.__doc__ == "Make music."


def test_the_decorator_holds_what_a_function_takes_as_any_keywords():
    @limited(music_limits(ROWS, 4 * GIB))
    def generate(text, **settings):
        return settings

    assert generate("a", duration=500, batch=9, seed=3) == {"duration": 180, "batch": 1, "seed": 3}
    assert generate("a") == {}


def test_a_number_of_any_kind_is_one_and_a_text_is_refused():
    bounds = {"duration": Bound(most=180)}
    assert within({"duration": np.int64(30)}, bounds) == ({"duration": 30}, ())
    assert within({"duration": np.float32(500)}, bounds)[0] == {"duration": 180}
    for on_excess in ("clamp", "refuse"):
        with pytest.raises(UsageError, match="duration='30' is not a number; it must be at most 180"):
            within({"duration": "30"}, bounds, on_excess)


def test_the_decorator_refuses_where_so_configured():
    @limited(music_limits(ROWS, 4 * GIB), "refuse")
    def generate(duration):
        return duration

    with pytest.raises(UsageError, match="duration=181"):
        generate(181)


@pytest.mark.parametrize("value", [float("nan"), "long", float("inf")])
def test_what_is_no_number_is_never_within(value):
    assert not Bound(most=180).holds(value)
