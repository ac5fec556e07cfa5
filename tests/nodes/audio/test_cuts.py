"""A sound that arrives in blocks is cut at the same places whatever the blocks, with what is around each piece."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nodes.audio.cuts import quiet_pieces

RATE = 1000
SOUND = np.random.default_rng(3).normal(size=20_000).astype(np.float32)


def cut(total, sizes, segment=2.0, around=0.1, first=0.5):
    at = np.minimum(np.cumsum([0, *sizes, total]), total)
    blocks = (SOUND[a:b] for a, b in itertools.pairwise(at))
    return list(quiet_pieces(blocks, RATE, segment, around, first))


@given(st.integers(1, 20_000), st.lists(st.integers(0, 3000), max_size=20))
def test_cuts_do_not_depend_on_the_blocks_and_pieces_join_up(total, sizes):
    pieces = cut(total, sizes)
    assert [(p.start, p.stop) for p in pieces] == [(p.start, p.stop) for p in cut(total, [])]
    assert pieces[0].start == 0
    assert pieces[-1].stop == total
    assert all(before.stop == after.start for before, after in itertools.pairwise(pieces))
    for piece in pieces:
        begin, end = max(piece.start - 100, 0), min(piece.stop + 100, total)
        assert piece.lead == piece.start - begin
        assert np.array_equal(piece.samples, SOUND[begin:end])


def test_pieces_grow_from_the_first_to_the_segment():
    lengths = [piece.stop - piece.start for piece in cut(20_000, [])]
    assert lengths[0] <= 500
    assert all(length <= min(500 * 1.5**index, 2000) for index, length in enumerate(lengths))
    assert max(lengths) > 1300
