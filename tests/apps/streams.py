"""Nodes that stream as tests need it: a voice that says every word as a tone, voices that fail or are stopped, a changer with weights."""

from __future__ import annotations

import os
import signal
import time
from typing import ClassVar

import numpy as np

from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Plain, Port
from pipelines.schema.values import Audio, Text, Word, Words

RATE = 8000


class Say(Plain):
    """A tone of 0.2 s for every word. send: a signal raised after the third; slow: seconds a word takes to make."""

    inputs: ClassVar = {"text": Port("text"), "voice": Port("audio", optional=True)}
    outputs: ClassVar = {"audio": Port("audio"), "words": Port("words")}

    def __init__(self, send: str = "", slow: float = 0.0, gain: float = 0.1) -> None:
        self.send, self.slow, self.gain = send, slow, gain

    def load(self, place):
        return np.ones(1 << 18, np.float32)

    def run(self, model, inputs, context):
        sound = self.stream(model, inputs, None, context)
        made = []
        while True:
            try:
                made.append(next(sound).read())
            except StopIteration as ended:
                return {"audio": Audio.of(np.concatenate(made, axis=1), RATE), **ended.value}

    def stream(self, model, inputs, chunks, context):
        text = inputs["text"]
        assert isinstance(text, Text)
        if not text.text.split():
            raise TaskFailed("There is nothing to say.")
        words = []
        for index, word in enumerate(text.text.split()):
            if self.send and index == 3:
                os.kill(os.getpid(), getattr(signal, self.send))
            time.sleep(self.slow)
            context.progress(0.0)
            words.append(Word(word, index * 0.2, index * 0.2 + 0.2))
            yield Audio.of(self.gain * np.sin(np.arange(RATE // 5) * (0.05 + 0.01 * (len(word) % 7))), RATE)
        return {"words": Words(tuple(words))}


class Double:
    """Twice as loud, and knows only whole sounds; they may be cut, for it hears nothing around a sample. fails: what it then says."""

    inputs: ClassVar = {"audio": Port("audio"), "voice": Port("audio", optional=True)}
    outputs: ClassVar = {"audio": Port("audio")}
    hears: ClassVar[float] = 0.0

    def __init__(self, mebibytes: int = 1, fails: str = "", shorter: int = 0) -> None:
        self.mebibytes, self.fails, self.shorter = mebibytes, fails, shorter

    def load(self, place):
        return np.full((self.mebibytes, 1 << 18), 2, np.float32)

    def unload(self, model):
        pass

    def run(self, model, inputs, context):
        context.warn("this is said once")
        if self.fails:
            raise TaskFailed(self.fails)
        made = inputs["audio"].read() * model[0, 0]
        return {"audio": Audio.of(made[:, self.shorter :], inputs["audio"].rate)}


class Whole(Plain):
    """Gives what it gets, and wants all of it at once."""

    inputs: ClassVar = Double.inputs
    outputs: ClassVar = Double.outputs

    def __init__(self, mebibytes: int = 1) -> None:
        self.mebibytes = mebibytes

    def run(self, model, inputs, context):
        return {"audio": inputs["audio"]}
