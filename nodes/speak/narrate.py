"""What every speaking node does around its model: sentences in, chunks of sound out, and when each line is said."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from nodes.text.sentences import Sentence, flowing_sentences
from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Context, Inputs, Outputs, Port
from pipelines.schema.values import Audio, Text, Value, Word, Words

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.schema.values import Samples

    #: Says one sentence, chunk by chunk: float32 [frames] each.
    Say = Callable[[Sentence], Iterator[Samples]]

INPUTS: Mapping[str, Port] = {
    "text": Port("text", "what to say; a new line begins a new line of the dub"),
    "voice": Port("audio", "a reference recording of the voice", optional=True),
}
OUTPUTS: Mapping[str, Port] = {
    "audio": Port("audio", "speech"),
    "words": Port("words", "the lines of the text and when each is said"),
}


@dataclass(frozen=True, eq=False)
class SpokenChunk:
    """Some speech, float32 [frames], and the sentence it belongs to."""

    samples: Samples
    sentence: Sentence


class Speaking(ABC):
    """What all speaking nodes have in common: their ports, and `run` and `stream` made of what a node speaks.

    rate: Hz of the speech, which is mono.
    """

    inputs: ClassVar[Mapping[str, Port]] = INPUTS
    outputs: ClassVar[Mapping[str, Port]] = OUTPUTS
    rate: ClassVar[int]

    @abstractmethod
    def speak(
        self, model: Any, inputs: Inputs, chunks: Iterator[Value] | None, context: Context
    ) -> Iterator[SpokenChunk]:
        """The speech in order. chunks: the text as it arrives; None where `inputs` holds the whole of it."""

    def run(self, model: Any, inputs: Inputs, context: Context) -> Outputs:
        """`audio` float32 [1, frames] at `rate` Hz and `words`, its lines.

        Raises `TaskFailed` where there is nothing to say, and for a language or a voice that the node cannot use.
        """
        return gathered(self.speak(model, inputs, None, context), self.rate, language_of(inputs, context))

    def stream(self, model: Any, inputs: Inputs, chunks: Iterator[Value] | None, context: Context) -> Iterator[Value]:
        """The same samples as they are made; returns `words`. Raises as `run` does."""
        return flowing(self.speak(model, inputs, chunks, context), self.rate, language_of(inputs, context))


def narrate(texts: Iterable[Text], limit: int, say: Say, context: Context) -> Iterator[SpokenChunk]:
    """Everything `texts` hold, sentence by sentence of at most `limit` characters. Stops where the task is cancelled.

    Raises `TaskFailed` where there is nothing to say.
    """
    for sentence in flowing_sentences((text.text for text in texts), limit):
        for samples in say(sentence):
            yield SpokenChunk(samples, sentence)
        context.progress(0.0, f"said: {sentence.text[:40]}")


def texts_of(inputs: Inputs, chunks: Iterator[Value] | None) -> Iterable[Text]:
    """The main input, whole or as it arrives."""
    if chunks is None:
        return (_text(inputs["text"]),)
    return (_text(chunk) for chunk in chunks)


def language_of(inputs: Inputs, context: Context, default: str = "en") -> str:
    """The item's language, else the text's own, in lower case."""
    text = inputs.get("text")
    own = text.language if isinstance(text, Text) else ""
    return str(context.settings.get("language") or own or default).lower()


def gathered(spoken: Iterable[SpokenChunk], rate: int, language: str) -> Outputs:
    """The outputs of a speaking node: all chunks joined, and a word for each line with the seconds it is said in."""
    import numpy as np

    sound = flowing(spoken, rate, language)
    samples: list[Samples] = []
    while True:
        try:
            samples.append(next(sound).read())
        except StopIteration as ended:
            return {"audio": Audio.of(np.concatenate(samples, axis=1), rate), **ended.value}


def flowing(spoken: Iterable[SpokenChunk], rate: int, language: str) -> Generator[Audio, None, Outputs]:
    """The same chunk by chunk; what it returns at the end is the output `words`. Raises `TaskFailed` where no sound came."""
    lines: list[tuple[int, list[Sentence], int, int]] = []
    at = 0
    for chunk in spoken:
        end = at + len(chunk.samples)
        if lines and lines[-1][0] == chunk.sentence.line:
            line, sentences, start, _ = lines[-1]
            lines[-1] = (
                line,
                sentences if sentences[-1] is chunk.sentence else [*sentences, chunk.sentence],
                start,
                end,
            )
        else:
            lines.append((chunk.sentence.line, [chunk.sentence], at, end))
        at = end
        yield Audio.of(chunk.samples, rate)
    if not at:
        raise TaskFailed("The model gave no sound for this text. Say more, or choose another voice or variant.")
    words = tuple(
        Word(" ".join(s.text for s in sentences), start / rate, end / rate) for _, sentences, start, end in lines
    )
    return {"words": Words(words, language)}


def _text(value: Value) -> Text:
    assert isinstance(value, Text), f"text is {type(value).__name__}"
    return value
