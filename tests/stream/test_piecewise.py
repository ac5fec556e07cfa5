import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.schema.values import Audio
from pipelines.stream.piecewise import CutSettings, crossfade, piecewise

RNG = np.random.default_rng(7)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=8), st.integers(0, 20))
def test_fading_identical_overlaps_changes_nothing(steps, overlap):
    steps = [max(step, overlap) for step in steps]
    whole = RNG.standard_normal((2, sum(steps))).astype(np.float32)
    ends = np.cumsum(steps)
    pieces = [
        whole[:, max(0, end - step - (overlap if end > step else 0)) : end]
        for end, step in zip(ends, steps, strict=True)
    ]
    joined = np.concatenate(list(crossfade(iter(pieces), overlap)), axis=-1)
    np.testing.assert_allclose(joined, whole, atol=1e-6)


def test_a_fade_between_different_levels_is_a_straight_line():
    pieces = [np.zeros((1, 10), np.float32), np.ones((1, 10), np.float32)]
    joined = np.concatenate(list(crossfade(iter(pieces), 4)), axis=-1)[0]
    np.testing.assert_allclose(joined[6:10], [0.2, 0.4, 0.6, 0.8], atol=1e-6)
    assert len(joined) == 16


def test_pieces_too_short_to_meet_are_refused():
    with pytest.raises(ValueError, match="overlap by 8"):
        list(crossfade(iter([np.zeros((1, 10), np.float32), np.zeros((1, 5), np.float32)]), 8))


def cut(samples, sizes, rate=1000):
    start = 0
    for size in sizes:
        yield Audio.of(samples[:, start : start + size], rate)
        start += size


def smooth(audio):
    """A node that reaches 10 frames to each side and gives as much as it takes."""
    return Audio.of(
        np.stack([np.convolve(np.pad(row, 10), np.ones(21) / 21, "valid") for row in audio.read()]), audio.rate
    )


@given(st.lists(st.integers(1, 900), min_size=1, max_size=6), st.sampled_from([0.03, 0.1, 0.5]))
def test_a_node_of_known_reach_works_piece_by_piece_as_in_one(sizes, first):
    samples = RNG.standard_normal((1, sum(sizes))).astype(np.float32)
    how = CutSettings(first=first, growth=1.7, most=0.6, reach=0.010, overlap=0.0)
    made = list(piecewise(smooth, cut(samples, sizes), how))
    joined = np.concatenate([piece.read() for piece in made], axis=1)
    np.testing.assert_allclose(joined, smooth(Audio.of(samples, 1000)).read(), atol=1e-6)


@given(st.lists(st.integers(1, 900), min_size=1, max_size=6))
def test_a_node_of_unknown_reach_keeps_the_length_and_what_pieces_agree_on(sizes):
    samples = RNG.standard_normal((2, sum(sizes))).astype(np.float32)
    how = CutSettings(first=0.1, growth=2, most=0.4, overlap=0.05)
    made = list(piecewise(lambda audio: Audio.of(audio.read() * 0.5, audio.rate), cut(samples, sizes), how))
    joined = np.concatenate([piece.read() for piece in made], axis=1)
    np.testing.assert_allclose(joined, samples * 0.5, atol=1e-6)


def test_the_first_piece_comes_before_the_last_chunk_is_asked_for():
    requested = []

    def chunks():
        for index in range(10):
            requested.append(index)
            yield Audio.of(np.zeros((1, 500), np.float32), 1000)

    made = piecewise(smooth, chunks(), CutSettings(first=0.5, reach=0.01, overlap=0.0))
    next(made)
    assert len(requested) == 2


def test_no_chunks_give_nothing_and_lost_frames_are_refused():
    assert list(piecewise(smooth, iter(()), CutSettings())) == []
    with pytest.raises(ValueError, match="piece by piece"):
        list(
            piecewise(
                lambda audio: Audio.of(audio.read()[:, 1:], audio.rate), cut(np.zeros((1, 100)), [100]), CutSettings()
            )
        )


def test_a_change_of_sample_rate_is_refused():
    chunks = [Audio.of(np.zeros((1, 100)), 1000), Audio.of(np.zeros((1, 100)), 2000)]
    with pytest.raises(ValueError, match="2000 Hz"):
        list(piecewise(smooth, iter(chunks), CutSettings()))
