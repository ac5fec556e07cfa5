"""The banded, piecewise Viterbi against every path, and against librosa's dense one."""

import itertools

import numpy as np
import pytest

from nodes.pitch.viterbi import Viterbi, _log_moves


def transition(bins):
    weight = np.maximum(12 - np.abs(np.subtract.outer(np.arange(bins), np.arange(bins))), 0)
    return weight / weight.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(5))
def test_no_path_is_better(seed):
    random = np.random.default_rng(seed)
    bins, steps = 15, 4
    likelihood = np.log(random.dirichlet(np.ones(bins), steps))
    with np.errstate(divide="ignore"):
        moves = np.log(transition(bins))

    def score(path):
        return likelihood[range(steps), path].sum() + sum(moves[a, b] for a, b in itertools.pairwise(path))

    decoder = Viterbi(bins)
    decoder.feed(likelihood)
    assert score(decoder.path()) == pytest.approx(max(map(score, itertools.product(range(bins), repeat=steps))))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of librosa's imports
def test_librosa_s_dense_one_agrees():
    import librosa

    random = np.random.default_rng(1)
    probability = random.dirichlet(np.full(360, 0.05), 200).T.astype(np.float32) + 1e-9
    probability /= probability.sum(axis=0)
    wanted = librosa.sequence.viterbi(probability, transition(360))
    decoder = Viterbi(360)
    decoder.feed(np.log(probability.T.astype(np.float64)))
    assert np.array_equal(decoder.path(), wanted)


def test_pieces_make_no_difference():
    likelihood = np.log(np.random.default_rng(2).dirichlet(np.ones(40), 30))
    whole, pieces = Viterbi(40), Viterbi(40)
    whole.feed(likelihood)
    for start in range(0, 30, 7):
        pieces.feed(likelihood[start : start + 7])
    assert np.array_equal(whole.path(), pieces.path())
    assert Viterbi(40).path().size == 0


def test_moves_out_of_a_bin_sum_to_one():
    bins = 30
    moves = np.exp(_log_moves(bins))
    dense = np.zeros((bins, bins))
    for target, offset in itertools.product(range(bins), range(23)):
        if 0 <= (source := target + offset - 11) < bins:
            dense[source, target] = moves[target, offset]
    assert np.allclose(dense, transition(bins))
