"""The beam search finds an order within the room exactly where one exists, on components small enough to try every order."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.plan.heuristics.beam import beam_order
from pipelines.plan.heuristics.low_peak import profile, search_order


@st.composite
def components(draw: st.DrawFn) -> tuple[list[tuple[int, ...]], list[int], list[int]]:
    """(predecessors, bytes needed beyond kept outputs, bytes kept) of each group."""
    count = draw(st.integers(2, 6))
    before = [tuple(p for p in range(group) if draw(st.booleans())) for group in range(count)]
    keep = [draw(st.integers(0, 5)) if any(group in row for row in before) else 0 for group in range(count)]
    need = [kept + draw(st.integers(0, 3)) for kept in keep]
    return before, need, keep


def _after(before):
    return [[group for group, row in enumerate(before) if pred in row] for pred in range(len(before))]


def _peaks(before, need, keep):
    for order in itertools.permutations(range(len(before))):
        place = {group: index for index, group in enumerate(order)}
        if all(place[p] < place[group] for group, row in enumerate(before) for p in row):
            yield max(profile(order, before, need, keep))


@settings(max_examples=60)
@given(components(), st.integers(0, 2), st.sampled_from([0.0, 0.5, 1.0]))
def test_it_finds_an_order_where_one_fits(component, spare: int, mix: float) -> None:
    before, need, keep = component
    room = min(_peaks(before, need, keep)) - 1 + spare
    order = beam_order(before, _after(before), need, keep, room, mix, work=100_000)
    assert (order is None) == (spare == 0)
    if order is not None:
        assert sorted(order) == list(range(len(before)))
        assert all(order.index(p) < order.index(group) for group, row in enumerate(before) for p in row)
        assert max(profile(order, before, need, keep)) <= room


@settings(max_examples=60)
@given(components())
def test_the_search_over_done_sets_finds_the_least_peak(component) -> None:
    before, need, keep = component
    order = search_order(before, _after(before), need, keep, effort=10_000)
    assert order is not None
    assert max(profile(order, before, need, keep)) == min(_peaks(before, need, keep))


@pytest.mark.parametrize(
    ("before", "need", "keep", "room", "mix", "work"),
    [
        ([(), (0,), (), (0,), (1, 3), (0,)], [5, 3, 0, 1, 1, 1], [3, 2, 0, 1, 0, 0], 6, 0.0, 10_000),
        ([(), (0,), (), (), (2,), (1, 2, 3)], [0, 8, 0, 3, 1, 0], [0, 5, 0, 1, 0, 0], 8, 0.0, 10_000),
        ([(), (), (), (0,), (1, 2, 3), (3,)], [6, 7, 5, 3, 0, 3], [5, 5, 3, 0, 0, 0], 10, 1.0, 0),
    ],
    ids=["another state saves it", "states that look alike", "a narrow beam that counts shared outputs"],
)
def test_components_where_the_first_choice_ends_in_a_dead_end(before, need, keep, room, mix, work) -> None:
    order = beam_order(before, _after(before), need, keep, room, mix, work)
    assert order is not None
    assert max(profile(order, before, need, keep)) <= room


def test_a_narrow_beam_prefers_what_frees_most() -> None:
    # 0 and 1 keep 4 each and wait for 2 and 3; room for one of them at a time beside its reader.
    before, need, keep = [(), (), (0,), (1,)], [4, 4, 1, 1], [4, 4, 0, 0]
    order = beam_order(before, _after(before), need, keep, 5, 0.0, work=0)
    assert order in ([0, 2, 1, 3], [1, 3, 0, 2])
