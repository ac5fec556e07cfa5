"""A chain leaves each node's files and says how it sounded; whoever stops, fails or is cancelled leaves nothing open."""

import gc
import os
import threading
from typing import ClassVar

import numpy as np
import pytest
import soundfile

from pipelines.schema.config import Footprint, Item
from pipelines.schema.errors import Interrupted, TaskFailed
from pipelines.schema.node import Context, Plain, Port
from pipelines.schema.values import Audio, File, Text
from pipelines.stream.chain_nodes import ChainNode, can_continue_chain, can_start_chain, cut_settings_for
from pipelines.stream.chain_run import ChainRun, OutputWriter, Streaming, expected_seconds, real_time_factor
from pipelines.stream.pacing import StreamSettings

SETTINGS = StreamSettings(0.5, (0.5, 1.0), 0.5, (0.4, 0.6), 0.0, 4.0, 0.8)
RATE = 1000


class Clock:
    def __init__(self):
        self.now = 10.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class Say(Plain):
    """Half a second of sound for every word, each made in `work` seconds. closed: how often its generator ended."""

    inputs: ClassVar = {"text": Port("text")}
    outputs: ClassVar = {"audio": Port("audio"), "words": Port("words")}

    def __init__(self, clock, work=0.05):
        self.clock, self.work, self.closed = clock, work, 0

    def stream(self, model, inputs, chunks, context):
        try:
            for index, _ in enumerate(inputs["text"].text.split()):
                self.clock.sleep(self.work)
                yield Audio.of(np.full(RATE // 2, (index + 1) / 100), RATE)
            return {"text": Text("said")}
        finally:
            self.closed += 1


class Twice(Plain):
    """Twice as loud; knows only whole sounds."""

    inputs: ClassVar = {"audio": Port("audio")}
    outputs: ClassVar = {"audio": Port("audio")}
    hears: ClassVar[float] = 0.0

    def __init__(self, clock, work=0.1):
        self.clock, self.work = clock, work

    def run(self, model, inputs, context):
        self.clock.sleep(self.work)
        return {"audio": Audio.of(inputs["audio"].read() * 2, inputs["audio"].rate)}


class Keep(Plain):
    """Counts what it hears; stops after `most` chunks."""

    inputs: ClassVar = {"audio": Port("audio")}
    outputs: ClassVar = {"file": Port("file")}

    def __init__(self, most=1_000_000):
        self.most, self.detected = most, 0

    def stream(self, model, inputs, chunks, context):
        for self.detected, _ in enumerate(chunks, 1):
            if self.detected == self.most:
                break
        yield File(context.folder / "kept")


def chain_run(tmp_path, words=8, say=None, keep=None, clock=None, paced=False, **more):
    clock = clock or Clock()
    nodes = [say or Say(clock), Twice(clock), keep or Keep()]
    chain_nodes, writers = [], []
    for node in nodes:
        name = type(node).__name__.lower()
        context = Context("item", tmp_path / name, **more)
        inputs = {"text": Text(" ".join(["word"] * words))} if name == "say" else {}
        chain_nodes.append(ChainNode(node, None, inputs, context, next(iter(node.inputs)), cut_settings_for(node)))
        writers.append(OutputWriter(tmp_path / name, next(iter(node.outputs)), name != "keep", clock))
    return ChainRun(
        chain_nodes, writers, Streaming(SETTINGS, paced), words / 2, clock=clock, sleep=clock.sleep, since=clock()
    )  # fmt: skip


def files():
    return [
        os.readlink(f"/proc/self/fd/{fd}")
        for fd in os.listdir("/proc/self/fd")
        if os.path.exists(f"/proc/self/fd/{fd}")
    ]


def test_every_node_s_sound_lies_on_disk_with_what_else_it_gave(tmp_path):
    made = chain_run(tmp_path)
    made.execute()
    message, twice, kept = (writer.outputs for writer in made.writers)
    assert list(message) == ["audio", "text"]
    assert message["audio"].frames == twice["audio"].frames == 8 * RATE // 2
    np.testing.assert_allclose(twice["audio"].read(), 2 * message["audio"].read(), atol=1e-6)
    assert list(kept) == ["file"]
    assert soundfile.info(str(tmp_path / "say" / "audio.wav")).subtype == "FLOAT"


def test_the_report_is_of_what_the_last_sound_was_like(tmp_path):
    made = chain_run(tmp_path)
    made.execute()
    report = made.report()
    assert report.audio_seconds == pytest.approx(4.0)
    assert report.gaps == ()
    assert (report.rested_seconds, report.utilisation, report.paced) == (0.0, 1.0, False)
    # Four words and three pieces at least: the first piece is one second, so two words and a conversion come first.
    assert 0.2 <= report.first_audio < 1.0
    assert report.prebuffer >= 0.5


def test_paced_it_rests_and_the_rest_is_nobody_s_work(tmp_path):
    made = chain_run(tmp_path, words=40, paced=True)
    made.execute()
    report = made.report()
    assert report.rested_seconds > 0
    assert 0.4 <= report.utilisation <= 0.6
    assert report.gaps == ()
    say, twice, keep = made.seconds()
    assert say == pytest.approx(40 * 0.05)
    assert twice > 0.2
    assert keep == pytest.approx(0.0, abs=1e-6)


def test_slower_than_real_time_is_said(tmp_path):
    clock = Clock()
    made = chain_run(tmp_path, words=20, say=Say(clock, work=0.8), clock=clock)
    made.execute()
    report = made.report()
    assert report.real_time_factor > 1
    assert any("Slower than real time" in note for note in report.notes)
    assert report.first_audio == pytest.approx(4.0)
    assert report.to_dict()["avoidable_gaps"] == 0
    assert report.to_dict()["gaps"] > 0


def test_a_consumer_that_stops_reading_leaves_nothing_open_and_no_half_result(tmp_path):
    clock, before = Clock(), (set(threading.enumerate()), len(files()))
    say = Say(clock)
    made = chain_run(tmp_path, words=10_000, say=say, keep=Keep(most=2), clock=clock)
    with pytest.raises(TaskFailed, match="stopped before its end"):
        made.execute()
    assert say.closed == 1
    assert clock.now < 20  # nothing ran on unasked
    del made
    gc.collect()
    assert set(threading.enumerate()) <= before[0]  # of those that were, an earlier test's may have ended by now
    assert len(files()) <= before[1]


def test_a_cancelled_chain_stops_at_the_next_chunk_and_closes_its_files(tmp_path):
    stop, clock = [], Clock()
    say = Say(clock)
    made = chain_run(tmp_path, words=1000, say=say, clock=clock, cancelled=lambda: len(stop) > 4 or stop.append(1))
    with pytest.raises(Interrupted):
        made.execute()
    assert say.closed == 1
    assert not [name for name in files() if name.startswith(str(tmp_path))]


def test_an_exception_names_the_stage_it_came_from(tmp_path):
    class Broken(Say):
        def stream(self, model, inputs, chunks, context):
            yield from super().stream(model, inputs, chunks, context)
            raise KeyError("voice")

    clock = Clock()
    made = chain_run(tmp_path, say=Broken(clock), clock=clock)
    with pytest.raises(KeyError):
        made.execute()
    assert made.failed_first == 0

    class Deaf(Twice):
        def run(self, model, inputs, context):
            raise RuntimeError("deaf")

    made = chain_run(tmp_path, clock=clock)
    made.nodes[1] = ChainNode(Deaf(clock), None, {}, made.nodes[1].context, "audio", cut_settings_for(Deaf(clock)))
    with pytest.raises(RuntimeError, match="deaf"):
        made.execute()
    assert made.failed_first == 1


def test_nodes_say_by_what_they_have_whether_they_stream():
    clock = Clock()
    assert (can_start_chain(Say(clock)), can_continue_chain(Say(clock)), cut_settings_for(Say(clock))) == (
        True,
        True,
        None,
    )
    assert (can_start_chain(Twice(clock)), can_continue_chain(Twice(clock))) == (False, True)
    assert cut_settings_for(Twice(clock)).reach == 0.0
    assert not can_continue_chain(Plain())


def test_what_is_expected_comes_from_the_text_and_the_footprints():
    assert expected_seconds(Item("a", characters=160)) == pytest.approx(10.0)
    assert expected_seconds(Item("a", seconds=5.0)) is None
    speak = Footprint(seconds={"base": 3.0, "per_character": 0.01})
    convert = Footprint(seconds={"per_second": 0.25, "base": 1.0})
    assert real_time_factor([(speak, {}), (convert, {})]) == pytest.approx(0.16 + 0.25)
    assert real_time_factor([(Footprint(), {})]) is None
