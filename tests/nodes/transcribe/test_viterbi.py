"""The likeliest path against every path there is, on chains small enough to write them all down."""

from itertools import pairwise, product

import numpy as np
import pytest

from nodes.transcribe.pocketsphinx.viterbi import Chain, path


def chain_of(rng: np.random.Generator, skippable: list[bool]) -> Chain:
    count = len(skippable)
    nats = -rng.random((2, count)).astype(np.float32)
    return Chain(rng.integers(0, 3, count), nats[0], nats[1], np.array(skippable))


def allowed(chain: Chain, states: tuple[int, ...]) -> bool:
    steps = [(a, b) for a, b in pairwise(states) if a != b]
    begins = states[0] == 0 or (states[0] == 1 and chain.skippable[0])
    return begins and all(b == a + 1 or (b == a + 2 and chain.skippable[a + 1]) for a, b in steps)


def worth(chain: Chain, scores: np.ndarray, states: tuple[int, ...]) -> float:
    moves = sum(chain.stay[b] if a == b else chain.enter[b] for a, b in pairwise(states))
    return float(moves + sum(scores[t, chain.column[s]] for t, s in enumerate(states)))


@pytest.mark.parametrize("seed", range(12))
def test_no_path_is_likelier(seed: int) -> None:
    rng = np.random.default_rng(seed)
    chain = chain_of(rng, [True, False, False, True, False, True])
    scores = -3 * rng.random((6, 3)).astype(np.float32)
    ways = [w for w in product(range(6), repeat=6) if allowed(chain, w) and w[-1] in (4, 5)]
    best = max(worth(chain, scores, way) for way in ways)
    found = tuple(path(chain, scores))
    assert found in ways
    assert worth(chain, scores, found) == pytest.approx(best, abs=1e-4)


def test_an_end_out_of_reach_leaves_the_rest_out() -> None:
    chain = chain_of(np.random.default_rng(0), [False] * 9)
    assert path(chain, -np.ones((3, 3), np.float32))[-1] == 2


def test_a_held_vowel_stays_where_it_costs_nothing() -> None:
    chain = Chain(np.array([0, 1, 2]), np.array([-1, 0, -1], np.float32), np.zeros(3, np.float32), np.zeros(3, bool))
    assert list(path(chain, np.zeros((7, 3), np.float32))) == [0, 1, 1, 1, 1, 1, 2]
