"""espeak-ng as a speaking node: no weights, every common language, in process and the same samples every time."""

from __future__ import annotations

from collections.abc import Iterator

from nodes.speak.espeak.library import espeak
from nodes.speak.narrate import INPUTS, OUTPUTS, Piece, flowing, gathered, language_of, narrate, texts_of
from pipelines.schema.node import Context, Inputs, Outputs, Plain
from pipelines.schema.values import Value

#: What espeak-ng calls languages that others call otherwise.
_NAMES = {"zh": "cmn", "zh-cn": "cmn", "no": "nb", "en": "en-us", "tl": "fil"}
#: Characters a sentence may have; it bounds what is held at once and what a listener waits for.
_LIMIT = 400


class Espeak(Plain):
    """Says a text with a formant synthesiser.

    speed: words a minute (80..450). pitch: 0..99. speaker: an espeak voice such as `en-us+f3`; the item's setting `speaker`
    outranks it, and where neither is given the language's own voice speaks. It cannot imitate a reference recording.
    """

    inputs = INPUTS
    outputs = OUTPUTS
    rate = 22050

    def __init__(self, speed: int = 160, pitch: int = 50, speaker: str = "") -> None:
        if not 80 <= speed <= 450 or not 0 <= pitch <= 99:
            raise ValueError(f"speed {speed} must be 80 to 450 words a minute and pitch {pitch} must be 0 to 99.")
        self.speed, self.pitch, self.speaker = speed, pitch, speaker

    def run(self, model: None, inputs: Inputs, context: Context) -> Outputs:
        """`audio` mono at 22,050 Hz and `words`, its lines. Raises `TaskFailed` for no words or an unknown language."""
        return gathered(self._pieces(inputs, None, context), self.rate, language_of(inputs, context))

    def stream(self, model: None, inputs: Inputs, chunks: Iterator[Value] | None, context: Context) -> Iterator[Value]:
        """Audio sentence by sentence, as `Audio` mono at 22,050 Hz; returns `words`."""
        return flowing(self._pieces(inputs, chunks, context), self.rate, language_of(inputs, context))

    def _pieces(self, inputs: Inputs, chunks: Iterator[Value] | None, context: Context) -> Iterator[Piece]:
        if "voice" in inputs:
            context.warn("espeak cannot imitate a recording: the voice given to speak was not used.")
        language = language_of(inputs, context)
        voice = str(context.settings.get("speaker") or self.speaker or _NAMES.get(language, language))
        with espeak() as library:
            library.choose(voice, self.speed, self.pitch)
            yield from narrate(
                texts_of(inputs, chunks), _LIMIT, lambda sentence: iter([library.say(sentence.text)]), context
            )
