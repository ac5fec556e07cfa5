import gc
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from pipelines.schema.errors import Interrupted
from pipelines.schema.node import Context, Plain, Port
from pipelines.schema.values import Audio, Text
from pipelines.stream.chain_nodes import ChainNode, chain, join_audio
from pipelines.stream.paced import PacedStream
from pipelines.stream.pacing import StreamSettings
from pipelines.stream.piecewise import CutSettings
from pipelines.stream.report import render

HALF = StreamSettings(0.5, (0.5, 1.0), 0.5, (0.4, 0.6), 0.0, 4.0, 0.8)


class Clock:
    """Time that passes only when told to."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def made(clock, works, seconds=0.5, rate=100):
    for work in works:
        clock.sleep(work)
        yield Audio.of(np.zeros((1, int(seconds * rate)), np.float32), rate)


def listen(works, settings=HALF, **more):
    clock = Clock()
    live = PacedStream(made(clock, works), settings, clock=clock, sleep=clock.sleep, **more)
    return list(live), live.report()


class Speak(Plain):
    """Gives a tone for each word, piece by piece."""

    inputs: ClassVar = {"text": Port("text")}
    outputs: ClassVar = {"audio": Port("audio")}
    closed = 0

    def run(self, model, inputs, context):
        return {"audio": join_audio(self.stream(model, inputs, None, context))}

    def stream(self, model, inputs, chunks, context):
        try:
            for index, _ in enumerate(inputs["text"].text.split()):
                yield Audio.of(np.full((1, 100), index + 1.0), 1000)
        finally:
            self.closed += 1


class Louder(Plain):
    """Knows only whole sounds."""

    inputs: ClassVar = {"audio": Port("audio")}
    outputs: ClassVar = {"audio": Port("audio")}

    def __init__(self):
        self.runs = 0

    def run(self, model, inputs, context):
        self.runs += 1
        return {"audio": Audio.of(inputs["audio"].read() * 2, inputs["audio"].rate)}


def context(**more):
    return Context("item", Path("."), **more)


def speak_then(louder, speak=None, cut=None, **more):
    speak = speak or Speak()
    first = ChainNode(speak, None, {"text": Text("a b c d e")}, context(**more))
    return chain([first, ChainNode(louder, None, {}, context(**more), cut=cut)])


def test_a_chain_streams_through_a_node_that_works_in_pieces():
    louder = Louder()
    chunks = list(speak_then(louder, cut=CutSettings(first=0.1, most=0.1, overlap=0.0)))
    assert louder.runs == 5
    np.testing.assert_array_equal(join_audio(chunks).read()[0], np.repeat([2.0, 4.0, 6.0, 8.0, 10.0], 100))


def test_a_node_that_knows_only_whole_sounds_is_given_one():
    louder = Louder()
    (whole,) = speak_then(louder)
    assert louder.runs == 1
    assert whole.frames == 500


def test_nothing_is_made_before_it_is_asked_for_and_stopping_closes_everything():
    speak, louder = Speak(), Louder()
    chunks = speak_then(louder, speak, CutSettings(first=0.1, most=0.1, overlap=0.0))
    assert louder.runs == 0
    next(chunks)
    assert louder.runs == 1
    chunks.close()
    assert speak.closed == 1


def test_a_cancelled_task_stops_at_the_next_piece():
    stop = []
    chunks = speak_then(Louder(), cut=CutSettings(first=0.1, most=0.1, overlap=0.0), cancelled=lambda: bool(stop))
    next(chunks)
    stop.append(1)
    with pytest.raises(Interrupted):
        next(chunks)


def test_chunks_of_different_rates_cannot_be_joined():
    with pytest.raises(ValueError, match=r"\[1000, 2000\]"):
        join_audio([Audio.of([0.0], 1000), Audio.of([0.0], 2000)])
    assert join_audio([]).frames == 0


def test_a_fast_voice_begins_at_the_prebuffer_and_has_no_gap():
    chunks, report = listen([0.05] * 40, expected_seconds=20.0)
    assert len(chunks) == 40
    assert report.first_audio < 0.2
    assert report.gaps == ()
    assert report.real_time_factor == pytest.approx(0.1)
    assert report.in_range
    assert 0.4 <= report.utilisation <= 0.6
    assert report.audio_seconds == pytest.approx(20)


def test_zero_gaps_outranks_utilisation_and_it_says_so():
    _, report = listen([0.4] * 40, expected_seconds=20.0)
    assert report.gaps == ()
    assert report.utilisation > 0.6
    assert not report.in_range
    assert any("Utilisation was" in note for note in report.notes)


def test_without_pacing_nothing_rests():
    _, report = listen([0.05] * 40, expected_seconds=20.0, paced=False)
    assert (report.rested_seconds, report.utilisation) == (0.0, 1.0)


def test_slower_than_real_time_says_so_and_buffers_what_the_latest_start_allows():
    _, report = listen([0.75] * 40, expected_seconds=20.0)
    assert report.first_audio == pytest.approx(4.0)
    assert any("Slower than real time" in note for note in report.notes)
    assert report.gap_seconds > 0
    assert len(report.gaps) < 10  # it waits in few long pieces rather than after every chunk
    assert any("gap" in note and "slower than it was heard" in note for note in report.notes)


def test_a_short_utterance_is_heard_when_it_is_there_whole():
    _, report = listen([0.3], expected_seconds=0.5)
    assert report.first_audio == pytest.approx(0.3)
    assert listen([])[1].first_audio is None


def test_memory_pressure_begins_earlier():
    calm = listen([0.45] * 40, expected_seconds=20.0)[1].first_audio
    pressed = listen([0.45] * 40, expected_seconds=20.0, pressure=lambda: 0.95)[1]
    assert pressed.first_audio < calm
    assert any("95%" in note for note in pressed.notes)


def test_a_listener_who_stops_leaves_a_report_and_nothing_running():
    clock, speak = Clock(), Speak()
    source = speak.stream(None, {"text": Text("a b c")}, None, context())
    live = PacedStream(source, HALF, clock=clock, sleep=clock.sleep)
    for _ in live:
        break
    gc.collect()
    assert speak.closed == 1
    assert live.report().chunks == 1


def test_a_report_reads_as_lines():
    text = "\n".join(render(listen([0.75] * 40, expected_seconds=20.0)[1].to_dict()))
    assert "first audio after 4.00 s (2.50 s buffered), " in text
    assert "20.0 s in 40 chunks, utilisation " in text
