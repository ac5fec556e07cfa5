"""XTTS v2 as a speaking node: a voice from some seconds of recording, 17 languages, streamed at a linear price.

Its weights may not be used commercially and need their licence accepted first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from nodes.audio.reading import checked_mono, voice_of
from nodes.loading.precision import check_precision, in_half
from nodes.speak.narrate import Speaking, SpokenChunk, language_of, narrate, texts_of
from nodes.text.sentences import Sentence
from pipelines.schema.errors import TaskFailed, did_you_mean
from pipelines.schema.node import Context, Inputs, Place
from pipelines.schema.values import Value

if TYPE_CHECKING:
    from nodes.speak.xtts.model import Loaded, Sampling, Voice
    from pipelines.schema.values import Samples


class Xtts(Speaking):
    """Says a text in the voice of a reference recording, or of one of the speakers that came with the weights. 17 languages.

    Takes `text` and `voice`, at any rate and in any channels; gives `audio`, float32 [1, frames] at 24,000 Hz, and `words`, the lines
    and when each is said. Numbers are read by the library's own tokenizer.
    Licence: weights CPML 1.0.0 (no commercial use), code MPL-2.0 (coqui-tts). Figures: `conf/model/speak/xtts.yaml`.

    temperature: how freely it speaks, above 0; low is flat, high is lively and slips more.
    top_k, top_p: what a next sound is drawn from, at most so many of the likeliest (at least 1), and of those as many as together
    have this share (above 0, up to 1).
    repetition_penalty: against stammering, above 0 (1: none).
    chunk: latents (of 46 ms) between two chunks of a stream, at least 1; it changes when sound is given, not which.
    precision: `float32` or, on a card, `float16` for the language model.
    speaker: a name from the weights, used where there is no recording; the item's setting `speaker` outranks it.
    """

    rate: ClassVar[int] = 24000
    needs_consent = True

    def __init__(
        self,
        temperature: float = 0.75,
        top_k: int = 50,
        top_p: float = 0.85,
        repetition_penalty: float = 10.0,
        chunk: int = 20,
        precision: str = "float32",
        speaker: str = "",
    ) -> None:
        check_precision(precision)
        if temperature <= 0 or top_k < 1 or not 0 < top_p <= 1 or repetition_penalty <= 0 or chunk < 1:
            raise ValueError("temperature, top_k, repetition_penalty and chunk must be above 0, top_p at most 1.")
        self.temperature, self.top_k, self.top_p, self.repetition_penalty = (
            temperature,
            top_k,
            top_p,
            repetition_penalty,
        )
        self.chunk, self.precision, self.speaker = chunk, precision, speaker

    def load(self, place: Place) -> Loaded:
        """The checkpoint on `place.device`. A CPU has no use for float16, which is slower there. Raises `TaskFailed`."""
        from nodes.speak.xtts.model import load

        return load(place.weights, place.device, in_half(self.precision, place.device))

    def unload(self, model: Loaded) -> None:
        """Let go of the network and of every voice."""
        model.voices.clear()
        model.speakers.clear()
        model.network = None

    def speak(
        self, model: Loaded, inputs: Inputs, chunks: Iterator[Value] | None, context: Context
    ) -> Iterator[SpokenChunk]:
        """Pieces of a sentence as they are made, the first ones shorter so that sound begins soon."""
        from nodes.speak.xtts.model import Sampling

        language = self._language(model, inputs, context)
        voice = self._voice(model, inputs, context)
        sampling = Sampling(
            context.seed, model.device, self.temperature, self.top_k, self.top_p, self.repetition_penalty
        )
        limit = model.network.tokenizer.char_limits.get(language, 250)

        def say(sentence: Sentence) -> Iterator[Samples]:
            return self._speech(model, sentence, language, voice, sampling, context)

        return narrate(texts_of(inputs, chunks), limit, say, context)

    def _speech(
        self, model: Loaded, sentence: Sentence, language: str, voice: Voice, sampling: Sampling, context: Context
    ) -> Iterator[Samples]:
        from nodes.speak.xtts.model import latents
        from nodes.speak.xtts.vocoder import Vocoder

        tokens = self._tokens(model, sentence.text, language)
        vocoder, count, due = Vocoder(model.network.hifigan_decoder, voice.speaker), 0, max(self.chunk // 4, 1)
        for latent in latents(model, tokens, voice, sampling):
            vocoder.push(latent)
            count += 1
            if count >= due:
                context.progress(0.0, f"says: {sentence.text[:40]}")
                samples = vocoder.take()
                due = count + min(max(count, 1), self.chunk)
                if len(samples):
                    yield samples
        if count >= model.network.gpt.max_gen_mel_tokens:
            context.warn(
                f"XTTS did not come to an end of {sentence.text[:60]!r}; it may be cut. Say it in shorter sentences."
            )
        yield vocoder.take(ended=True)

    def _tokens(self, model: Loaded, text: str, language: str) -> list[int]:
        try:
            tokens = list(model.network.tokenizer.encode(text.strip().lower(), lang=language))
        except ImportError as error:  # the library's own, where it has one, names the package
            raise TaskFailed(
                f"XTTS needs another package to read {language!r} ({error}). Install it, then run again."
            ) from error
        longest = model.network.args.gpt_max_text_tokens - 1
        if len(tokens) > longest:
            raise TaskFailed(
                f"XTTS takes {longest} tokens a sentence and {text[:60]!r} has {len(tokens)}. Write it with fewer marks."
            )
        return tokens

    def _language(self, model: Loaded, inputs: Inputs, context: Context) -> str:
        language = language_of(inputs, context).split("-")[0]
        known = {name.split("-")[0] for name in model.network.config.languages}
        if language not in known:
            raise TaskFailed(f"XTTS does not speak {language!r}. {did_you_mean(language, known)}")
        return language

    def _voice(self, model: Loaded, inputs: Inputs, context: Context) -> Voice:
        from nodes.speak.xtts.model import REFERENCE_RATE

        reference = voice_of(inputs, context)
        if reference is not None:
            seconds = float(model.network.config.max_ref_len)
            return model.voice(checked_mono(reference, "The reference voice", REFERENCE_RATE, seconds))
        name = str(context.settings.get("speaker") or self.speaker)
        if name in model.speakers:
            return model.speakers[name]
        if name:
            raise TaskFailed(f"XTTS has no speaker {name!r}. {did_you_mean(name, model.speakers)}")
        if not model.speakers:
            raise TaskFailed("XTTS needs a voice: give voice= some seconds of clear speech.")
        first = next(iter(model.speakers))
        context.warn(f"No voice was given, so {first!r} speaks. Give voice=RECORDING or the setting speaker.")
        return model.speakers[first]
