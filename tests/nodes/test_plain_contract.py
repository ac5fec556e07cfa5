"""The contract of the nodes without a role and without weights: ports, the same result twice, sound of every kind, no result from NaN.

Those of a role are in `test_contract.py`.
"""

import importlib
import inspect
import pkgutil

import numpy as np
import pytest

import nodes
from nodes.dub.lines import Lines
from nodes.dub.mix import Mix
from nodes.dub.time_fit import Fit
from nodes.notes import Notes
from nodes.ultrastar import Song
from nodes.wav import Wav
from pipelines.node_classes import node_class
from pipelines.schema import values
from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Context
from pipelines.schema.values import PORTS, Audio, Contour, File, Note, Word, Words
from tests.nodes.test_contract import assert_sentence, settings, variants, voice

ONE_LINE = Words((Word("a b", 0.0, 1.0),))
SPOKEN = Words((Word("hello", 0.1, 0.4), Word("there.", 0.5, 0.9)))


def contour(seconds=1.3):
    times = np.arange(0, seconds, 0.01)
    return Contour(times, np.full(len(times), 220.0), np.full(len(times), 0.9))


#: What each is given, with sound of any kind in it.
GIVEN = {
    Wav: (lambda sound: {"audio": sound}),
    Lines: (lambda sound: {"words": SPOKEN}),
    Fit: (lambda sound: {"speech": sound, "spoken": ONE_LINE, "lines": Words((Word("a b", 0.2, 0.9),)), "audio": sound}),
    Mix: (lambda sound: {"speech": voice(0.7, 24000), "instrumental": sound}),
    Notes: (lambda sound: {"words": SPOKEN, "contour": contour(), "audio": sound, "vocals": sound}),
    Song: (lambda sound: {"notes": values.Notes((Note(0.1, 0.5, 57, " la"),), 120.0), "audio": sound}),
}  # fmt: skip
HEARING = [node for node in GIVEN if node is not Lines]


def classes():
    """Every node class that is shipped."""
    for found in pkgutil.walk_packages(nodes.__path__, "nodes."):
        module = importlib.import_module(found.name)
        here = [kind for kind in vars(module).values() if inspect.isclass(kind) and kind.__module__ == found.name]
        yield from (kind for kind in here if hasattr(kind, "outputs") and not inspect.isabstract(kind))


def test_none_is_left_out():
    of_roles = {node_class(settings(name)["_target_"]) for name in variants()}
    assert set(classes()) - of_roles == set(GIVEN)


def run(kind, sound, folder):
    node = kind()
    folder.mkdir(parents=True, exist_ok=True)
    model = node.load(None)
    try:
        return node, node.run(model, GIVEN[kind](sound), Context("item", folder, seed=3))
    finally:
        node.unload(model)


def plain(value):
    if isinstance(value, File):
        return {path.name: path.read_bytes() for path in (value.path, *value.beside)}
    if isinstance(value, Audio):
        assert np.isfinite(value.read()).all()
        return (value.rate, value.read().tobytes())
    return value


@pytest.mark.parametrize("kind", GIVEN)
def test_ports_and_the_same_twice(kind, tmp_path):
    node, first = run(kind, voice(1.3, 44100, 2), tmp_path / "a")
    _, again = run(kind, voice(1.3, 44100, 2), tmp_path / "b")
    assert first.keys() == node.outputs.keys()
    for port, value in first.items():
        assert isinstance(value, PORTS[node.outputs[port].type])
        assert plain(value) == plain(again[port])


@pytest.mark.parametrize("kind", HEARING)
@pytest.mark.parametrize(
    "sound",
    [voice(1.3, 8000), voice(1.3, 44100), Audio.of(np.zeros((2, 16000)), 16000), voice(0.03), voice(0.5, 96000, 2)],
    ids=["8 kHz", "44.1 kHz", "silence", "short", "96 kHz stereo"],
)
def test_sound_of_every_kind(kind, sound, tmp_path):
    node, made = run(kind, sound, tmp_path)
    for port, value in made.items():
        assert isinstance(value, PORTS[node.outputs[port].type])
        plain(value)


@pytest.mark.parametrize("kind", HEARING)
@pytest.mark.parametrize(
    "sound", [Audio.of(np.full((2, 8000), np.nan), 16000), Audio.of(np.zeros((1, 0)), 16000)], ids=["NaN", "empty"]
)
def test_sound_that_is_none(kind, sound, tmp_path):
    with pytest.raises(TaskFailed) as caught:
        run(kind, sound, tmp_path)
    assert_sentence(caught.value)
