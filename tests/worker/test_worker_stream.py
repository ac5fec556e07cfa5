"""Streams of a node in a process of its own: pull by pull, both ways, and a reader who stops leaves a worker that can go on."""

import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from pipelines.schema.errors import Interrupted, TaskFailed
from pipelines.schema.node import Context, Place
from pipelines.schema.values import Audio, Text
from pipelines.stream.chain_nodes import can_continue_chain, can_start_chain, cut_settings_for
from pipelines.worker.client import IsolatedNode, Worker
from tests.run.standins.flowing import Flowing
from tests.run.standins.known import Known

HERE = "tests.run.standins"
RATE = 16_000


@pytest.fixture(autouse=True)
def _reachable(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2]), *sys.path])


@pytest.fixture(scope="module")
def worker():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(Path(__file__).parents[2]), *sys.path])
        with Worker("test/flowing", trusted=[HERE]) as worker:
            worker.load(f"{HERE}.flowing.Flowing", {"fails": 7}, Place())
            yield worker


def chunks(count, requested=None):
    for index in range(count):
        if requested is not None:
            requested.append(index)
        yield Audio.of(np.full((1, RATE), index / 100, np.float32), RATE)


def context(tmp_path, **more):
    return Context("song", tmp_path, **more)


def drained(stream):
    pieces = []
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as ended:
            return pieces, ended.value


def test_chunks_go_there_and_pieces_come_back_one_by_one(worker, tmp_path):
    requested, reported = [], []
    stream = worker.stream({}, chunks(5, requested), context(tmp_path, report=lambda *each: reported.append(each)))
    first = next(stream)
    assert requested == [0]
    rest, outputs = drained(stream)
    assert [piece.read()[0, 0] for piece in [first, *rest]] == pytest.approx([0.0, 0.02, 0.04, 0.06, 0.08])
    assert outputs == {"text": Text("5")}
    assert reported[0] == (0.5, "chunk 1")


def test_the_first_of_a_chain_takes_its_input_whole(worker, tmp_path):
    pieces, outputs = drained(worker.stream({"audio": next(chunks(1))}, None, context(tmp_path)))
    assert len(pieces) == 1
    assert outputs == {"text": Text("1")}


def test_a_reader_who_stops_leaves_a_worker_that_goes_on(worker, tmp_path):
    stream = worker.stream({}, chunks(100), context(tmp_path))
    next(stream)
    stream.close()
    assert drained(worker.stream({}, chunks(2), context(tmp_path)))[1] == {"text": Text("2")}


def test_its_error_and_that_of_what_comes_before_it_are_raised_and_it_goes_on(worker, tmp_path):
    with pytest.raises(TaskFailed, match="test/flowing: no more of this"):
        drained(worker.stream({}, chunks(20), context(tmp_path)))

    def broken():
        yield from chunks(2)
        raise ValueError("the text ended badly")

    with pytest.raises(ValueError, match="ended badly"):
        drained(worker.stream({}, broken(), context(tmp_path)))
    assert drained(worker.stream({}, chunks(3), context(tmp_path)))[1] == {"text": Text("3")}


def test_cancelled_it_stops(worker, tmp_path):
    stop = threading.Event()
    stream = worker.stream({}, chunks(6), context(tmp_path, cancelled=stop.is_set))
    next(stream)
    stop.set()
    with pytest.raises(Interrupted):
        drained(stream)
    assert drained(worker.stream({}, chunks(1), context(tmp_path)))[1] == {"text": Text("1")}


def test_a_worker_that_dies_in_a_stream_is_named(tmp_path):
    with Worker("test/flowing", trusted=[HERE]) as worker:
        worker.load(f"{HERE}.flowing.Flowing", {}, Place())
        stream = worker.stream({}, chunks(5), context(tmp_path))
        next(stream)
        worker._process.kill()
        with pytest.raises(TaskFailed, match="test/flowing"):
            drained(stream)


def test_an_isolated_node_streams_where_the_node_does():
    flowing = IsolatedNode(Flowing(), f"{HERE}.flowing.Flowing", {}, "test/flowing")
    whole = IsolatedNode(Known(), f"{HERE}.known.Known", {}, "test/known")
    assert (can_start_chain(flowing), can_continue_chain(flowing), cut_settings_for(flowing)) == (True, True, None)
    assert (can_start_chain(whole), can_continue_chain(whole), cut_settings_for(whole)) == (False, False, None)
