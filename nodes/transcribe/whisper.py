"""Whisper by faster-whisper (CTranslate2), from a local model folder, a few windows at a time, with a time for each word.

The library's batched pipeline computes the spectra of a whole track at once, and cuts it where Silero hears no speech. Here
the sound is cut where it is quiet, stretches that are near are put into one window of at most half a minute, and the
pipeline gets as many windows as it decodes together, so memory follows the batch and not the track.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from nodes.audio.forward_reader import ForwardReader
from nodes.audio.reading import mono_blocks
from nodes.loading.faults import reading
from nodes.transcribe.stretches import RATE, Stretch, levels, stretches
from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Context, Inputs, Outputs, Place, Port
from pipelines.schema.values import Audio, Word, Words

if TYPE_CHECKING:
    from pipelines.schema.values import Samples

_WHAT = "The sound to transcribe"
#: Seconds a window may hold (Whisper hears 30), and the silence that may be inside one.
_LONGEST, _PAUSE = 29.0, 5.0
#: Whisper's own rule: a window is silent where it says so this surely and its words are less likely than this.
_NO_SPEECH, _UNLIKELY = 0.6, -1.0
#: Times to ask for an unload, 10 ms apart.
_TRIES = 500
#: What a precision is called where it exists; a CPU has no half precision.
_CPU_TYPES = {"float16": "float32", "bfloat16": "float32", "int8_float16": "int8", "int8_bfloat16": "int8"}
_CUDA_TYPES = {"int8": "int8_float16"}
_CUBLAS = "libcublas.so.12"
_FILES = ("model.bin", "config.json", "tokenizer.json")


class Whisper:
    """Words of about a hundred languages.

    Takes `audio`, at any rate and in any channels; gives `words` with times and probabilities.
    Licence: MIT (OpenAI's weights, converted by Systran or Mobius Labs; faster-whisper, CTranslate2). Figures: `conf/model/transcribe/`.

    compute: float32 | float16 | bfloat16 | int8 (on a CPU half precision is float32).
    batch: windows of up to 29 s at once, at least 1.
    beam: paths searched, at least 1.
    vad: leave out windows in which Silero hears no speech (it mistakes some singing).
    prompt: text put before each window, besides the item's `lyrics`.
    threads: of the CPU, 0 is all this process may use.
    """

    inputs: ClassVar[Mapping[str, Port]] = {"audio": Port("audio", "speech or singing")}
    outputs: ClassVar[Mapping[str, Port]] = {"words": Port("words", "words with times and probabilities")}

    def __init__(
        self,
        compute: str = "float16",
        batch: int = 1,
        beam: int = 5,
        vad: bool = False,
        prompt: str = "",
        threads: int = 0,
    ) -> None:
        if compute not in ("float32", "float16", "bfloat16", "int8"):
            raise ValueError(f"compute {compute!r} must be float32, float16, bfloat16 or int8.")
        if batch < 1 or beam < 1 or threads < 0:
            raise ValueError(f"batch {batch} and beam {beam} must be at least 1, threads {threads} at least 0.")
        self.compute, self.batch, self.beam, self.vad = compute, int(batch), int(beam), vad
        self.prompt, self.threads = prompt, threads

    def load(self, place: Place) -> Any:
        """A faster-whisper pipeline from the folder `place.weights`. Raises `TaskFailed` for what is missing or damaged."""
        from ctranslate2 import get_supported_compute_types
        from faster_whisper import BatchedInferencePipeline, WhisperModel

        folder = _complete(place.weights)
        device, _, index = place.device.partition(":")
        if device == "cuda":  # CTranslate2's own name; it knows this kind and the CPU
            _open_cublas()
        compute = (_CPU_TYPES if device == "cpu" else _CUDA_TYPES).get(self.compute, self.compute)
        try:
            known = get_supported_compute_types(device, int(index or 0))
        except RuntimeError as error:
            raise TaskFailed(f"CTranslate2 cannot use {place.device}: {str(error).rstrip('.')}.") from error
        if compute not in known:
            raise TaskFailed(
                f"{place.device} cannot compute in {compute}, only in {', '.join(sorted(known))}. Choose another variant."
            )
        with reading(f"The Whisper model {folder}", "Fetch it again."):
            model = WhisperModel(
                str(folder), device=device, device_index=int(index or 0), compute_type=compute,
                cpu_threads=self.threads or _threads(),
            )  # fmt: skip
            hears, given = model.model.n_mels, model.feature_extractor.mel_filters.shape[0]
            if hears != given:
                raise ValueError(f"it wants {hears} mel bands, and preprocessor_config.json gives {given}")
        return BatchedInferencePipeline(model)

    def unload(self, model: Any) -> None:
        """Give the weights back at once. Raises `TaskFailed` where CTranslate2 keeps them, which it does without a word."""
        import time

        inner = model.model.model
        for _ in range(
            _TRIES
        ):  # it declines while its workers still count the last batch, for a moment after giving it
            inner.unload_model()
            if not inner.model_is_loaded:
                break
            time.sleep(0.01)
        else:
            raise TaskFailed("CTranslate2 did not let go of the Whisper model: something still uses it.")

    def run(self, model: Any, inputs: Inputs, context: Context) -> Outputs:
        """`words`, none where nothing sounds. Raises `TaskFailed` for an unknown language, empty sound or NaN."""
        audio = inputs["audio"]
        assert isinstance(audio, Audio)
        whole = stretches(levels(mono_blocks(audio, _WHAT, RATE)), _LONGEST)
        windows, reader = _joined(whole), ForwardReader(audio, _WHAT, RATE, 1)
        language = self._language(model, context)
        words: list[Word] = []
        for first in range(0, len(windows), self.batch):
            group = [(w.start, reader.read(round(w.start * RATE), round((w.end - w.start) * RATE))[0])
                     for w in windows[first : first + self.batch]]  # fmt: skip
            group = [(start, sound) for start, sound in group if not self.vad or _speaks(sound)]
            if group and not language:
                language = model.model.detect_language(group[0][1])[0]
            words += self._decoded(model, group, language, context)
            context.progress(min((first + self.batch) / len(windows), 1.0), "listening")
        return {"words": Words(tuple(_ascending(words)), language or "en")}

    def _language(self, model: Any, context: Context) -> str:
        """The one asked for, `en` where the model knows no other, empty where it is to be heard."""
        wanted = str(context.settings.get("language") or "").lower().partition("-")[0]
        if not model.model.model.is_multilingual:
            if wanted not in ("", "en"):
                raise TaskFailed(
                    f"This Whisper model knows English only, not {wanted!r}. Choose one without .en in its name."
                )
            return "en"
        known = model.model.supported_languages
        if wanted and wanted not in known:
            raise TaskFailed(f"Whisper knows no language {wanted!r}. It knows {', '.join(sorted(known))}.")
        return wanted

    def _decoded(
        self, model: Any, group: Sequence[tuple[float, Samples]], language: str, context: Context
    ) -> Iterator[Word]:
        """The words of some windows (second at which each starts, its samples), decoded together."""
        import numpy as np

        if not group:
            return
        ends = list(itertools.accumulate(len(sound) for _, sound in group))
        firsts = [0, *ends[:-1]]
        clips = [{"start": (a + 0.5) / RATE, "end": (b + 0.5) / RATE} for a, b in zip(firsts, ends, strict=True)]
        hint = " ".join(f"{self.prompt} {context.settings.get('lyrics') or ''}".split()) or None
        segments, _ = model.transcribe(
            np.concatenate([sound for _, sound in group]), language=language, beam_size=self.beam, temperature=0.0,
            word_timestamps=True, vad_filter=False, clip_timestamps=clips, batch_size=self.batch, initial_prompt=hint,
        )  # fmt: skip
        for segment in segments:
            if segment.no_speech_prob > _NO_SPEECH and segment.avg_logprob < _UNLIKELY:
                continue
            index = bisect.bisect_right(firsts, segment.seek * RATE // 100 + RATE // 50) - 1
            moved = group[index][0] - firsts[index] / RATE
            for word in segment.words or ():
                start, end = float(word.start) + moved, float(word.end) + moved
                yield Word(word.word.strip(), start, end, float(word.probability))


def _complete(folder: Path | None) -> Path:
    if folder is None or not folder.is_dir():
        raise TaskFailed(f"Whisper needs a CTranslate2 model folder, and there is none at {folder}.")
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if not any((folder / f"vocabulary.{kind}").is_file() for kind in ("json", "txt")):
        missing.append("vocabulary.json")
    if missing:
        raise TaskFailed(f"{folder} is not a whole Whisper model: it has no {', '.join(missing)}. Fetch it again.")
    return folder


def _open_cublas() -> None:
    """Open cuBLAS 12, which CTranslate2 asks for by its bare name when it first computes: once open, it is found.

    torch brings another release, or this one in a folder where the system does not look. Raises `TaskFailed` without it.
    """
    import ctypes
    import sys

    folders = [Path(entry, "nvidia", "cublas", "lib") for entry in sys.path]
    for found in [*(str(folder / _CUBLAS) for folder in folders if (folder / _CUBLAS).is_file()), _CUBLAS]:
        try:
            ctypes.CDLL(found)
        except OSError:
            continue
        return
    raise TaskFailed(
        f"Whisper needs {_CUBLAS} to compute on a card, and it is not here. Install nvidia-cublas-cu12, or let it compute on the "
        "CPU with device.transcribe=cpu."
    )


def _threads() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _joined(found: Sequence[Stretch]) -> list[Stretch]:
    """Stretches that are near put together while they fit into a window; each window costs the same however full it is."""
    windows: list[Stretch] = []
    for stretch in found:
        last = windows[-1] if windows else None
        if last and stretch.end - last.start <= _LONGEST and stretch.start - last.end <= _PAUSE:
            windows[-1] = Stretch(last.start, stretch.end)
        else:
            windows.append(stretch)
    return windows


def _speaks(sound: Samples) -> bool:
    from faster_whisper.vad import get_speech_timestamps

    return bool(get_speech_timestamps(sound))


def _ascending(words: Sequence[Word]) -> Iterator[Word]:
    """Words in order that do not overlap: Whisper's times may go back a little where windows meet."""
    now = 0.0
    for word in sorted(words, key=lambda word: word.start):
        start = max(word.start, now)
        now = max(word.end, start)
        if word.text:
            yield Word(word.text, start, now, word.confidence)
