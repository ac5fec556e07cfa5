import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.stream.player import Player


def test_what_is_heard_follows_the_clock():
    player = Player()
    player.receive(1.0, at=2.0)
    player.start(2.0)
    player.advance(2.4)
    assert player.heard == pytest.approx(0.4)
    assert player.buffered == pytest.approx(0.6)
    assert player.gaps == []


def test_a_gap_is_as_long_as_the_listener_waited():
    player = Player()
    player.receive(1.0, at=1.0)
    player.start(1.0)
    player.receive(1.0, at=2.75)
    (gap,) = player.gaps
    assert (gap.at, gap.seconds, gap.position) == pytest.approx((2.0, 0.75, 1.0))
    player.finish(3.0)
    assert len(player.gaps) == 1


def test_a_chunk_that_comes_exactly_in_time_leaves_no_gap():
    player = Player()
    player.receive(0.1, at=0.1)
    player.start(0.1)
    for step in range(2, 50):
        player.receive(0.1, at=step * 0.1)
    assert player.gaps == []


def test_silence_after_the_end_is_no_gap():
    player = Player()
    player.receive(1.0, at=0.0)
    player.start(0.0)
    player.advance(5.0)
    player.finish(5.0)
    assert player.gaps == []


def test_after_a_gap_playing_waits_until_there_is_enough():
    player = Player(resume=1.0)
    player.receive(0.5, at=0.0)
    player.start(0.0)
    player.receive(0.5, at=1.0)
    assert not player.playing
    player.receive(0.5, at=1.5)
    assert player.playing
    assert [gap.seconds for gap in player.gaps] == pytest.approx([1.0])


def test_what_is_left_when_nothing_more_comes_is_played():
    player = Player(resume=5.0)
    player.receive(0.5, at=0.0)
    player.start(0.0)
    player.receive(0.5, at=1.0)
    player.finish(2.0)
    assert [gap.seconds for gap in player.gaps] == pytest.approx([1.5])


def test_playing_begins_by_itself_at_the_latest_moment():
    player = Player(latest=3.0)
    player.receive(1.0, at=1.0)
    player.receive(1.0, at=4.5)
    assert player.started_at == 3.0
    assert [gap.seconds for gap in player.gaps] == pytest.approx([0.5])


def test_with_nothing_to_play_the_latest_moment_is_the_first_chunk():
    player = Player(latest=3.0)
    player.receive(1.0, at=4.0)
    player.advance(4.1)
    assert player.started_at == 4.0
    player = Player()
    player.start(1.0)
    assert player.started_at is None


def test_time_does_not_go_back():
    player = Player()
    player.advance(2.0)
    with pytest.raises(ValueError, match="went back"):
        player.advance(1.0)


@given(st.lists(st.tuples(st.floats(0.01, 2), st.floats(0.01, 2)), min_size=1, max_size=30), st.floats(0, 3))
def test_gaps_by_the_player_equal_gaps_by_arithmetic(chunks, prebuffer):
    """Brute force: a chunk that comes later than its first sample is wanted makes everything after it later by as much."""
    player, now, arrivals = Player(), 0.0, []
    for work, seconds in chunks:
        now += work
        player.receive(seconds, now)
        arrivals.append((now, seconds))
        if player.started_at is None and player.received >= prebuffer:
            player.start(now)
    player.finish(now)
    if player.started_at is None:
        return
    clock, heard, expected = player.started_at, 0.0, 0.0
    for at, seconds in arrivals:
        due = clock + heard  # when this chunk's first sample is wanted, gaps so far included
        if at > due + 1e-9:
            expected += at - due
            clock += at - due
        heard += seconds
    assert sum(gap.seconds for gap in player.gaps) == pytest.approx(expected, abs=1e-6)
