"""espeak-ng as a speaking node: no weights, every common language, in process and the same samples every time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from nodes.speak.espeak.library import espeak
from nodes.speak.narrate import Speaking, SpokenChunk, language_of, narrate, texts_of
from pipelines.schema.node import Context, Inputs, Plain
from pipelines.schema.values import Value

#: What espeak-ng calls languages that others call otherwise.
_NAMES = {"zh": "cmn", "zh-cn": "cmn", "no": "nb", "en": "en-us", "tl": "fil"}
#: Characters a sentence may have; it bounds what is held at once and what a listener waits for.
_LIMIT = 400


class Espeak(Speaking, Plain):
    """Says a text with a formant synthesiser. It cannot imitate a reference recording.

    Takes `text`; gives `audio`, float32 [1, frames] at 22,050 Hz, and `words`, the lines and when each is said. `voice` is not used.
    Licence: GPL-3.0-or-later (espeak-ng, loaded at run time); no weights. Figures: `conf/model/speak/espeak.yaml`.

    speed: 80 to 450 words a minute.
    pitch: 0 to 99.
    speaker: an espeak voice such as `en-us+f3`; the item's setting `speaker` outranks it, and where neither is given the
    language's own voice speaks.
    """

    rate: ClassVar[int] = 22050

    def __init__(self, speed: int = 160, pitch: int = 50, speaker: str = "") -> None:
        if not 80 <= speed <= 450 or not 0 <= pitch <= 99:
            raise ValueError(f"speed {speed} must be 80 to 450 words a minute and pitch {pitch} must be 0 to 99.")
        self.speed, self.pitch, self.speaker = speed, pitch, speaker

    def speak(
        self, model: None, inputs: Inputs, chunks: Iterator[Value] | None, context: Context
    ) -> Iterator[SpokenChunk]:
        """A sentence at a time."""
        if "voice" in inputs:
            context.warn("espeak cannot imitate a recording: the voice given to speak was not used.")
        language = language_of(inputs, context)
        voice = str(context.settings.get("speaker") or self.speaker or _NAMES.get(language, language))
        with espeak() as library:
            library.choose(voice, self.speed, self.pitch)
            yield from narrate(
                texts_of(inputs, chunks), _LIMIT, lambda sentence: iter([library.say(sentence.text)]), context
            )
