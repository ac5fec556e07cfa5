import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.stream.playback import Playback


def test_what_is_heard_follows_the_clock():
    playback = Playback()
    playback.receive(1.0, at=2.0)
    playback.start(2.0)
    playback.advance(2.4)
    assert playback.played == pytest.approx(0.4)
    assert playback.buffered == pytest.approx(0.6)
    assert playback.gaps == []


def test_a_gap_is_as_long_as_the_listener_waited():
    playback = Playback()
    playback.receive(1.0, at=1.0)
    playback.start(1.0)
    playback.receive(1.0, at=2.75)
    (gap,) = playback.gaps
    assert (gap.at, gap.seconds, gap.position) == pytest.approx((2.0, 0.75, 1.0))
    playback.finish(3.0)
    assert len(playback.gaps) == 1


def test_a_chunk_that_comes_exactly_in_time_leaves_no_gap():
    playback = Playback()
    playback.receive(0.1, at=0.1)
    playback.start(0.1)
    for step in range(2, 50):
        playback.receive(0.1, at=step * 0.1)
    assert playback.gaps == []


def test_silence_after_the_end_is_no_gap():
    playback = Playback()
    playback.receive(1.0, at=0.0)
    playback.start(0.0)
    playback.advance(5.0)
    playback.finish(5.0)
    assert playback.gaps == []


def test_after_a_gap_playing_waits_until_there_is_enough():
    playback = Playback(resume=1.0)
    playback.receive(0.5, at=0.0)
    playback.start(0.0)
    playback.receive(0.5, at=1.0)
    assert not playback.playing
    playback.receive(0.5, at=1.5)
    assert playback.playing
    assert [gap.seconds for gap in playback.gaps] == pytest.approx([1.0])


def test_what_is_left_when_nothing_more_comes_is_played():
    playback = Playback(resume=5.0)
    playback.receive(0.5, at=0.0)
    playback.start(0.0)
    playback.receive(0.5, at=1.0)
    playback.finish(2.0)
    assert [gap.seconds for gap in playback.gaps] == pytest.approx([1.5])


def test_playing_begins_by_itself_at_the_latest_moment():
    playback = Playback(latest=3.0)
    playback.receive(1.0, at=1.0)
    playback.receive(1.0, at=4.5)
    assert playback.started_at == 3.0
    assert [gap.seconds for gap in playback.gaps] == pytest.approx([0.5])


def test_with_nothing_to_play_the_latest_moment_is_the_first_chunk():
    playback = Playback(latest=3.0)
    playback.receive(1.0, at=4.0)
    playback.advance(4.1)
    assert playback.started_at == 4.0
    playback = Playback()
    playback.start(1.0)
    assert playback.started_at is None


def test_time_does_not_go_back():
    playback = Playback()
    playback.advance(2.0)
    with pytest.raises(ValueError, match="went back"):
        playback.advance(1.0)


@given(st.lists(st.tuples(st.floats(0.01, 2), st.floats(0.01, 2)), min_size=1, max_size=30), st.floats(0, 3))
def test_gaps_by_the_player_equal_gaps_by_arithmetic(chunks, prebuffer):
    """Brute force: a chunk that comes later than its first sample is wanted makes everything after it later by as much."""
    playback, now, arrivals = Playback(), 0.0, []
    for work, seconds in chunks:
        now += work
        playback.receive(seconds, now)
        arrivals.append((now, seconds))
        if playback.started_at is None and playback.received >= prebuffer:
            playback.start(now)
    playback.finish(now)
    if playback.started_at is None:
        return
    clock, detected, expected = playback.started_at, 0.0, 0.0
    for at, seconds in arrivals:
        due = clock + detected  # when this chunk's first sample is wanted, gaps so far included
        if at > due + 1e-9:
            expected += at - due
            clock += at - due
        detected += seconds
    assert sum(gap.seconds for gap in playback.gaps) == pytest.approx(expected, abs=1e-6)
