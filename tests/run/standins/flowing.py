"""A node that streams, for a process of its own: it answers each chunk with one twice as loud."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Context, Inputs, Outputs, Plain, Port
from pipelines.schema.values import Audio, Text, Value


class Flowing(Plain):
    """Doubles what it hears, chunk by chunk; `fails` after so many. Returns how many there were as its other output."""

    inputs: ClassVar[Mapping[str, Port]] = {"audio": Port("audio")}
    outputs: ClassVar[Mapping[str, Port]] = {"audio": Port("audio"), "text": Port("text")}

    def __init__(self, fails: int = 0) -> None:
        self.fails = fails

    def run(self, model: Any, inputs: Inputs, context: Context) -> Outputs:
        audio = inputs["audio"]
        assert isinstance(audio, Audio)
        return {"audio": Audio.of(audio.read() * 2, audio.rate), "text": Text("1")}

    def stream(self, model: Any, inputs: Inputs, chunks: Iterator[Value] | None, context: Context) -> Iterator[Value]:
        return self._doubled(iter([inputs["audio"]]) if chunks is None else chunks, context)

    def _doubled(self, chunks: Iterator[Value], context: Context) -> Any:
        count = 0
        for count, chunk in enumerate(chunks, 1):
            assert isinstance(chunk, Audio)
            if count == self.fails:
                raise TaskFailed("no more of this")
            context.progress(0.5, f"chunk {count}")
            yield Audio.of(chunk.read() * 2, chunk.rate)
        return {"text": Text(str(count))}
