"""Nodes that do what tests need: hold bytes, fail, wait, die. Used as programs through `--trust tests`."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import ClassVar

import numpy as np

from pipelines.schema.config import Footprint
from pipelines.schema.node import Plain, Port
from pipelines.schema.values import Audio, File, Text


class Tone(Plain):
    """Makes a short tone whose pitch follows from the seed: equal seeds give equal sound."""

    inputs: ClassVar = {"text": Port("text")}
    outputs: ClassVar = {"audio": Port("audio")}
    footprint: ClassVar = Footprint(workspace={"base": 1 << 20}, seconds={"base": 0.01})

    def __init__(self, seconds: float = 0.1) -> None:
        self.seconds = seconds

    def run(self, model, inputs, context):
        text = inputs["text"]
        assert isinstance(text, Text)
        rate = 8000
        times = np.arange(int(self.seconds * rate)) / rate
        return {"audio": Audio.of(0.1 * np.sin(2 * np.pi * (200 + context.seed % 200) * times), rate)}


class Gain:
    """A node with weights: a block of memory it multiplies by."""

    inputs: ClassVar = {"audio": Port("audio")}
    outputs: ClassVar = {"vocals": Port("audio"), "instrumental": Port("audio")}
    loads: ClassVar[list[str]] = []

    def __init__(self, mebibytes: int = 1, gain: float = 1.0) -> None:
        self.mebibytes, self.gain = mebibytes, gain

    def load(self, place):
        Gain.loads.append("load")
        return np.ones((self.mebibytes, 1 << 18), dtype=np.float32)

    def unload(self, model):
        Gain.loads.append("unload")

    def run(self, model, inputs, context):
        context.progress(0.5, "half")
        audio = inputs["audio"]
        louder = Audio.of(audio.read() * model[0, 0] * self.gain, audio.rate)
        return {"vocals": louder, "instrumental": audio}


class Loud(Gain):
    """The same with one output, as the role `convert` has it."""

    outputs: ClassVar = {"audio": Port("audio")}

    def run(self, model, inputs, context):
        return {"audio": super().run(model, inputs, context)["vocals"]}


class Wrong(Gain):
    """Has a port of another type than the role `pitch`."""

    outputs: ClassVar = {"contour": Port("audio")}


class Demanding(Tone):
    """Needs a voice, which the role `speak` gives only sometimes."""

    inputs: ClassVar = {"text": Port("text"), "voice": Port("audio")}


class Fails(Plain):
    """Raises for items whose name contains `bad`."""

    inputs: ClassVar = {"audio": Port("audio")}
    outputs: ClassVar = {"audio": Port("audio")}

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def run(self, model, inputs, context):
        if "bad" in context.item:
            raise ValueError("this one is bad")
        return {"audio": Audio.of(inputs["audio"].read() * self.gain, inputs["audio"].rate)}


class Slow(Plain):
    """Waits, and signals itself when told to, as Ctrl-C or a service manager would."""

    inputs: ClassVar = {"audio": Port("audio")}
    outputs: ClassVar = {"audio": Port("audio")}

    def __init__(self, send: str = "", seconds: float = 0.0) -> None:
        self.send, self.seconds = send, seconds

    def run(self, model, inputs, context):
        if self.send:
            os.kill(os.getpid(), getattr(signal, self.send))
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            context.progress(0.1)
            time.sleep(0.01)
        return {"audio": inputs["audio"]}


class Save(Plain):
    """Writes a text file and gives it as a finished file."""

    inputs: ClassVar = {"audio": Port("audio")}
    outputs: ClassVar = {"file": Port("file")}

    def run(self, model, inputs, context):
        path = context.folder / f"{context.item}.txt"
        path.write_text(f"{inputs['audio'].seconds:.3f} s\n", encoding="utf-8")
        return {"file": File(path)}


class Escapes(Plain):
    """Writes outside its folder."""

    inputs: ClassVar = {"audio": Port("audio")}
    outputs: ClassVar = {"file": Port("file")}

    def run(self, model, inputs, context):
        path = context.folder.parent.parent.parent / "escaped.txt"
        path.write_text("out", encoding="utf-8")
        return {"file": File(path)}


class NoOp(Plain):
    """Gives back what it got; for measuring the engine itself."""

    inputs: ClassVar = {"text": Port("text")}
    outputs: ClassVar = {"text": Port("text")}

    def run(self, model, inputs, context):
        return {"text": inputs["text"]}


class Surroundings(Plain):
    """Writes down the allocator's variables as its process sees them, and whether torch was there before them."""

    inputs: ClassVar = {"text": Port("text")}
    outputs: ClassVar = {"file": Port("file")}

    def run(self, model, inputs, context):
        names = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
        lines = [f"{name}={os.environ[name]}" for name in names if name in os.environ]
        path = context.folder / "surroundings.txt"
        path.write_text("\n".join([*lines, f"torch={'torch' in sys.modules}"]), encoding="utf-8")
        return {"file": File(path)}
