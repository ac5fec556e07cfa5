"""Nodes whose bytes are chosen: numpy for the CPU's marks, torch for tracked ones, and some that misbehave."""

import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from pipelines.schema.node import Context, Inputs, Outputs, Place, Port
from pipelines.schema.units import MIB
from pipelines.schema.values import Audio


class Known:
    """Weights of `weights` MiB; a run takes `base` + `slope` x seconds x batch MiB and gives its input back, halved."""

    inputs: ClassVar[Mapping[str, Port]] = {"audio": Port("audio")}
    outputs: ClassVar[Mapping[str, Port]] = {"audio": Port("audio")}

    def __init__(self, weights: int = 40, base: int = 20, slope: float = 4.0, batch: int = 1, leak: int = 0) -> None:
        self.weights, self.base, self.slope, self.batch, self.leak = weights, base, slope, batch, leak

    def load(self, place: Place) -> Any:
        return np.ones(self.weights * MIB, np.uint8)

    def unload(self, model: Any) -> None:
        if self.leak:
            _LEAKED.append(np.ones(self.leak * MIB, np.uint8))

    def run(self, model: Any, inputs: Inputs, context: Context) -> Outputs:
        audio = inputs["audio"]
        assert isinstance(audio, Audio)
        block = np.ones(int((self.base + self.slope * audio.seconds * self.batch) * MIB), np.uint8)
        context.progress(0.5, "half")
        del block
        return {"audio": Audio.of(audio.read() / 2, audio.rate)}


_LEAKED: list[Any] = []


class Misbehaving(Known):
    """Does `what` when run: `raise`, `segfault`, `kill`, `exit`, `memory`, `hang`, `print`, `pid`."""

    def __init__(self, what: str = "raise") -> None:
        super().__init__(1, 1, 0)
        self.what = what

    def run(self, model: Any, inputs: Inputs, context: Context) -> Outputs:
        if self.what == "raise":
            raise ValueError("this song is not to my taste")
        if self.what == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.what == "exit":
            os._exit(3)
        if self.what == "memory":
            np.ones(1 << 36, np.uint8)
        if self.what == "hang":
            while True:
                context.progress(0.1)
                time.sleep(0.01)
        if self.what == "print":
            sys.stdout.write("noise on standard output\n")
            os.write(1, b"more of it from below\n")
        if self.what == "pid":
            context.warn(str(os.getpid()))
        return super().run(model, inputs, context)


class Deaf(Known):
    """Forks a process, tells its number and listens to nobody any more."""

    def run(self, model: Any, inputs: Inputs, context: Context) -> Outputs:
        child = os.fork()
        if child:
            context.progress(0.1, str(child))
        while True:
            signal.pause()


class Chatty(Known):
    """Tells of its progress from six threads, 20 times each, in more words than the socket takes at once."""

    def run(self, model: Any, inputs: Inputs, context: Context) -> Outputs:
        tellers = [threading.Thread(target=self._tell, args=(context,)) for _ in range(6)]
        for teller in tellers:
            teller.start()
        for teller in tellers:
            teller.join()
        return {}

    def _tell(self, context: Context) -> None:
        for _ in range(20):
            context.progress(0.5, "x" * 500_000)


def _nameless() -> None:
    """No process can find it by the name that it then has."""


_nameless.__qualname__ = "nowhere"


class Secretive(Known):
    """Gives what no other process can be given."""

    def run(self, model: Any, inputs: Inputs, context: Context) -> Outputs:
        return {"audio": _nameless}  # type: ignore[dict-item]


class Elsewhere(Known):
    """Tells in an error which environment it is in."""

    def load(self, place: Place) -> Any:
        raise ValueError(f"here is {os.environ.get('OWN_ENVIRONMENT')}")


class Linear(Known):
    """A torch layer of `width` x `width`; a run multiplies `rows` rows by it."""

    def __init__(self, width: int = 512, rows: int = 64) -> None:
        super().__init__()
        self.width, self.rows = width, rows

    def load(self, place: Place) -> Any:
        import torch

        return torch.nn.Linear(self.width, self.width, bias=False)

    def run(self, model: Any, inputs: Inputs, context: Context) -> Outputs:
        import torch

        with torch.inference_mode():
            model(torch.ones(self.rows, self.width))
        return {"audio": inputs["audio"]}
