"""F5-TTS as a speaking node: a voice from up to 12 s of recording and what is said in it, one sentence at a time.

Its weights may not be used commercially. Its pins conflict with others', so it runs in an environment of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nodes.audio.reading import checked_mono, is_silent, voice_of
from nodes.loading.precision import check_precision, in_half
from nodes.loading.random_state import own_random
from nodes.speak.narrate import INPUTS, Speaking, SpokenChunk, language_of, narrate, texts_of
from nodes.text.numbers import spelled
from nodes.text.sentences import clean, space_of
from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Context, Inputs, Place, Port
from pipelines.schema.values import Text, Value, Words

if TYPE_CHECKING:
    import torch

    from nodes.speak.f5.model import Loaded
    from pipelines.schema.values import Samples

#: Samples of a mel frame, the longest reference (s), seconds the network was trained to fill, and loudness of a reference.
_HOP, _LONGEST, _FILLED, _LOUDNESS = 256, 12.0, 22.0, 0.1
#: Seconds over which a sentence's edges are faded, so that joined sentences do not click.
_FADE = 0.01


@dataclass(frozen=True, eq=False)
class Reference:
    """A voice: float32 [frames] at 24,000 Hz, and the words in it, ending as a sentence does."""

    samples: Samples
    text: str


class F5(Speaking):
    """Says a text in the voice of a reference recording, English or Chinese.

    Takes `text`, and `voice` (up to 12 s, at any rate and in any channels) with what is said in it: `voice_words` or the setting
    `voice_text`; nothing listens to it unasked. Gives `audio`, float32 [1, frames] at 24,000 Hz, and `words`, the lines and when
    each is said. Numbers are spelled out in the item's language, for the network reads letters.
    Licence: weights CC-BY-NC-4.0 (F5-TTS) and MIT (Vocos), code MIT. Figures: `conf/model/speak/f5.yaml`.

    steps: of the solver, 1 to 256 (32 is the library's).
    guidance: strength of the guidance, at least 0.
    speed: factor, 0.3 to 3; above 1 is quicker.
    precision: `float32` or, on a card, `float16`.
    """

    inputs: ClassVar[Mapping[str, Port]] = {
        **INPUTS,
        "voice_words": Port("words", "what the reference recording says and when", optional=True),
    }
    rate: ClassVar[int] = 24000
    needs_consent = True

    def __init__(self, steps: int = 32, guidance: float = 2.0, speed: float = 1.0, precision: str = "float16") -> None:
        if not 1 <= steps <= 256 or guidance < 0 or not 0.3 <= speed <= 3:
            raise ValueError(f"steps {steps} must be 1 to 256, guidance {guidance} at least 0, speed {speed} 0.3 to 3.")
        check_precision(precision)
        self.steps, self.guidance, self.speed, self.precision = steps, guidance, speed, precision

    def load(self, place: Place) -> Loaded:
        """Network and vocoder on `place.device`; a CPU always computes in float32. Raises `TaskFailed`."""
        import torch

        from nodes.speak.f5.model import load

        half = in_half(self.precision, place.device)
        return load(place.weights, place.device, torch.float16 if half else torch.float32)

    def unload(self, model: Loaded) -> None:
        """Let go of both networks."""
        model.network = model.vocoder = None

    def speak(
        self, model: Loaded, inputs: Inputs, chunks: Iterator[Value] | None, context: Context
    ) -> Iterator[SpokenChunk]:
        """A sentence at a time."""
        voice, text = reference(inputs, context), inputs.get("text")
        written = text.text if isinstance(text, Text) and text.text else voice.text
        language = language_of(inputs, context)
        seeds = iter(range(context.seed, context.seed + (1 << 31)))
        return narrate(
            texts_of(inputs, chunks),
            longest_sentence(voice, self.speed, written),
            lambda sentence: iter([self._speech(model, voice, spelled(sentence.text, language), next(seeds))]),
            context,
        )

    def _speech(self, model: Loaded, voice: Reference, text: str, seed: int) -> Samples:
        """One sentence, float32 [frames]."""
        import numpy as np
        import torch
        from f5_tts.model.utils import convert_char_to_pinyin

        loudness = float(np.sqrt(np.mean(np.square(voice.samples))))
        gain = max(_LOUDNESS / loudness, 1.0)
        prompt = torch.from_numpy(voice.samples * np.float32(gain))[None].to(model.device)
        prompt_frames = prompt.shape[-1] // _HOP
        speed = self.speed if len(text.encode()) >= 10 else min(self.speed, 0.3)
        frames = prompt_frames + int(prompt_frames / len(voice.text.encode()) * len(text.encode()) / speed)
        with own_random(model.device), torch.inference_mode():
            mel, _ = model.network.sample(
                cond=prompt, text=convert_char_to_pinyin([voice.text + text]), duration=frames, steps=self.steps,
                cfg_strength=self.guidance, sway_sampling_coef=-1.0, seed=seed % (1 << 31),
            )  # fmt: skip
            made: torch.Tensor = model.vocoder.decode(mel[:, prompt_frames:].float().transpose(1, 2))
        sound: Samples = np.asarray(made[0].cpu().numpy() / gain, np.float32)
        return _faded(sound, self.rate)


def longest_sentence(voice: Reference, speed: float, written: str) -> int:
    """Characters, such as those of `written`, that fill what the network was trained to fill, at the pace of `voice`.

    The pace is of bytes, as the library counts: a Chinese character has three and takes as long as three letters.
    """
    seconds = len(voice.samples) / F5.rate
    pace = len(voice.text.encode()) / seconds * speed
    return max(int(pace * (_FILLED - seconds) * len(written) / len(written.encode())), 20)


def reference(inputs: Inputs, context: Context) -> Reference:
    """The voice and its words, cut at a word where it is longer than 12 s.

    Raises `TaskFailed` where there is no voice, no words, only silence, or too much and no word times to cut at.
    """
    voice, words = voice_of(inputs, context), inputs.get("voice_words")
    if voice is None:
        raise TaskFailed("F5 needs a voice: give voice= up to 12 s of clear speech and voice_text= what it says.")
    text, seconds = str(context.settings.get("voice_text") or ""), voice.seconds
    if isinstance(words, Words) and not text:
        within = [word for word in words.words if word.end <= _LONGEST]
        text = space_of(words.language).join(word.text.strip() for word in within)
        seconds = min(seconds, within[-1].end + 0.1) if within and seconds > _LONGEST else seconds
    spoken = words.language if isinstance(words, Words) else language_of(inputs, context)
    text = spelled(clean(text).replace("\n", " "), spoken)
    if not text:
        raise TaskFailed(
            "F5 must know what the reference voice says: set voice_text=, or join voice_words to a transcribe node."
        )
    if seconds > _LONGEST + 0.2:
        raise TaskFailed(
            f"The reference voice lasts {seconds:.1f} s; F5 takes up to {_LONGEST:.0f} s. Cut it and its words."
        )
    samples = checked_mono(voice, "The reference voice", F5.rate, seconds)
    if is_silent(samples) or len(samples) < F5.rate // 2:
        raise TaskFailed("The reference voice is silent or shorter than 0.5 s. Give some seconds of clear speech.")
    ended = text if text[-1] in ".!?。！？" else text + "."
    # Two spaces, as the library's own front end comes to have: they count in the pace it speaks at.
    return Reference(samples, ended if ended[-1] in "。！？" else ended + "  ")


def _faded(samples: Samples, rate: int) -> Samples:
    import numpy as np

    ramp = min(int(_FADE * rate), len(samples) // 2)
    if ramp:
        rise = np.linspace(0, 1, ramp, dtype=np.float32)
        samples = samples.copy()
        samples[:ramp] *= rise
        samples[-ramp:] *= rise[::-1]
    return samples
