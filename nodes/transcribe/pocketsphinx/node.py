"""PocketSphinx: recognises English words, or aligns given ones, on the CPU with the model its wheel ships.

Sound is resampled to 16 kHz and looked at twice: first for where anybody sings at all, then a stretch at a time, cut where it
is quiet, so memory does not grow with its length. Given words are laid over a window that moves along (`align`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from nodes.audio.reading import mono_blocks
from nodes.transcribe.pocketsphinx.align import align
from nodes.transcribe.pocketsphinx.spelling import lyrics_words
from nodes.transcribe.stretches import RATE, PcmReader, levels, stretches
from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Context, Inputs, Outputs, Place, Port
from pipelines.schema.values import Audio, Word, Words

if TYPE_CHECKING:
    from nodes.transcribe.stretches import Stretch

#: Seconds heard at once; longer ones overflow the decoder's scores, which are 32-bit integers.
_LONGEST = 12.0
#: Bytes fed at once (half a second): the library holds the interpreter while it decodes, and nothing else could stop or draw.
_PIECE = RATE
#: The search that hears nothing, for the mean of a stretch's cepstra.
_DEAF = "deaf"
#: Frames a second of the model.
_FRAME_RATE = 100


class PocketSphinx:
    """English words and their times. Where the item's setting `lyrics` gives the words, they are aligned and keep their spelling.

    Takes `audio`, at any rate and in any channels; gives `words` in order, with a confidence each.
    Licence: BSD-2-Clause (pocketsphinx, weights of CMU in its wheel). Figures: `conf/model/transcribe/pocketsphinx.yaml`.
    """

    inputs: ClassVar[Mapping[str, Port]] = {"audio": Port("audio", "speech or singing of one voice")}
    outputs: ClassVar[Mapping[str, Port]] = {"words": Port("words", "words in order, with a confidence each")}

    def load(self, place: Place) -> Any:
        """A decoder with the acoustic model, dictionary and language model of the wheel; `place` is not used."""
        import pocketsphinx

        try:
            decoder = pocketsphinx.Decoder(loglevel="FATAL", cmn="batch", topn=8)
            decoder.add_fsg(_DEAF, decoder.create_fsg(_DEAF, 0, 1, [(0, 1, 1.0, "a")]))
        except (RuntimeError, ValueError) as error:
            raise TaskFailed(
                f"PocketSphinx's own model cannot be loaded: {error}. Install pocketsphinx again."
            ) from error
        return decoder

    def unload(self, model: Any) -> None:
        """Nothing of it is held elsewhere."""

    def run(self, model: Any, inputs: Inputs, context: Context) -> Outputs:
        """`words`, none where nothing sounds. Raises `TaskFailed` for sound that is empty or has NaN in it."""
        audio, language = inputs["audio"], str(context.settings.get("language") or "en")
        assert isinstance(audio, Audio)
        if not language.lower().startswith("en"):
            context.warn(f"pocketsphinx knows English only: {context.item} is heard as English, not as {language!r}.")
        level = levels(mono_blocks(audio, "The sound to transcribe", RATE))
        sounding = stretches(level, _LONGEST)
        reader = PcmReader(mono_blocks(audio, "The sound to transcribe", RATE), float(level.max(initial=0.0)))
        lyrics = lyrics_words(str(context.settings.get("lyrics") or ""), language)
        found = (
            align(model, reader, level, sounding, lyrics, context)
            if lyrics
            else _recognised(model, reader, sounding, context)
        )
        return {"words": Words(tuple(found), "en")}


def _recognised(decoder: Any, reader: PcmReader, sounding: Sequence[Stretch], context: Context) -> Iterator[Word]:
    """What is understood of each stretch."""
    for index, stretch in enumerate(sounding):
        yield from _decoded(decoder, reader.pcm(stretch.start, stretch.end), stretch.start)
        context.progress((index + 1) / len(sounding), "listening")


def _decoded(decoder: Any, pcm: bytes, start: float) -> Iterator[Word]:
    """The words found in sound that begins at second `start`, fillers left out: those found in all of it at once."""
    mean = _mean(decoder, pcm)
    decoder.activate_search()
    decoder.reinit_feat(decoder.config)  # it forgets the noise it believes to have heard before
    decoder.start_utt()
    for at in range(0, len(pcm), _PIECE):
        decoder.set_cmn(mean)  # fed in pieces, it would go by what it has heard so far
        decoder.process_raw(pcm[at : at + _PIECE], no_search=False, full_utt=False)
    decoder.end_utt()
    for found in decoder.seg() or ():
        if found.word[0] not in "<[+(":
            first, end = found.start_frame / _FRAME_RATE, (found.end_frame + 1) / _FRAME_RATE
            yield Word(found.word.partition("(")[0], start + first, start + end, min(found.prob, 1.0))


def _mean(decoder: Any, pcm: bytes) -> str:
    """The mean of the sound's cepstra, as `set_cmn` takes it."""
    decoder.activate_search(_DEAF)
    decoder.reinit_feat(decoder.config)
    decoder.start_utt()
    decoder.process_raw(pcm, no_search=False, full_utt=True)
    decoder.end_utt()
    return str(decoder.get_cmn(False))
