"""XTTS v2 as coqui-tts defines it: its checkpoint loaded without a second copy, a cache of voices, latents one at a time.

The library's own loading and generating are not used: the one fills the network before loading it and may write into the
weights folder, the other draws from the process's random numbers, which no seed of a task could fix.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nodes.audio.reading import is_silent
from nodes.loading.checkpoint import fold_weight_norm, load_module, read_checkpoint
from nodes.loading.faults import reading
from pipelines.schema.errors import TaskFailed

if TYPE_CHECKING:
    import torch

    from pipelines.schema.values import Samples

#: Rate of a reference for XTTS, the shortest the library takes (s), and how many voices are kept.
REFERENCE_RATE, _SHORTEST, _MOST_VOICES = 22050, 0.33, 64
_FILES = ("model.pth", "config.json", "vocab.json")
#: Keys of checkpoints that only training needs, or that name parts of the network a second time.
_IGNORED = ("torch_mel_spectrogram_style_encoder", "torch_mel_spectrogram_dvae", "dvae")
_REPEATED = ("gpt.gpt_inference.", "gpt.gpt.wte.")


@dataclass(frozen=True, eq=False)
class Voice:
    """What XTTS knows of a voice: `prompt` [1, 32, channels] for the GPT, `speaker` [1, 512, 1] for the vocoder."""

    prompt: torch.Tensor
    speaker: torch.Tensor


@dataclass(eq=False)
class Loaded:
    """A loaded model. network: the library's `Xtts`. speakers: the voices that came with it. voices: those computed, by digest."""

    network: Any
    device: str
    speakers: dict[str, Voice]
    voices: dict[str, Voice] = field(default_factory=dict)

    def voice(self, reference: Samples) -> Voice:
        """The voice of a recording at `REFERENCE_RATE` Hz, float32 [frames]; computed once for the same samples.

        Raises `TaskFailed` where it is too short or silent.
        """
        if len(reference) < _SHORTEST * REFERENCE_RATE or is_silent(reference):
            raise TaskFailed(
                f"The reference voice is silent or shorter than {_SHORTEST} s. Give some seconds of clear speech."
            )
        key = hashlib.sha256(reference.tobytes()).hexdigest()
        if key not in self.voices:
            if len(self.voices) >= _MOST_VOICES:
                del self.voices[next(iter(self.voices))]
            self.voices[key] = self._voice(reference)
        return self.voices[key]

    def _voice(self, reference: Samples) -> Voice:
        import torch

        config, network = self.network.config, self.network
        audio = torch.from_numpy(reference)[None].clip(-1, 1)[:, : REFERENCE_RATE * config.max_ref_len].to(self.device)
        with torch.inference_mode():
            speaker = network.get_speaker_embedding(audio, REFERENCE_RATE)
            prompt = network.get_gpt_cond_latents(
                audio, REFERENCE_RATE, length=config.gpt_cond_len, chunk_length=config.gpt_cond_chunk_len
            )
        return Voice(prompt, speaker)


def load(folder: Path | None, device: str, half: bool) -> Loaded:
    """The checkpoint in `folder` (model.pth, config.json, vocab.json, speakers_xtts.pth if any), its GPT in float16 if `half`.

    Raises `TaskFailed` where files are missing or not what they should be.
    """
    absent = _FILES if folder is None else [name for name in _FILES if not (folder / name).is_file()]
    if folder is None or absent:
        raise TaskFailed(
            f"XTTS has no {', '.join(absent)} in {folder or 'any folder'}. Run `headroom weights fetch speak/xtts`, or put "
            "the files of coqui/XTTS-v2 there."
        )
    with reading(f"The XTTS checkpoint in {folder}", "Check it with `headroom weights verify speak/xtts`."):
        network = _network(folder, device)
        speakers = _speakers(folder / "speakers_xtts.pth", device)
    if half:
        _halve(network.gpt)
    return Loaded(network, device, speakers)


def _network(folder: Path, device: str) -> Any:
    from TTS.tts.configs.xtts_config import XttsConfig
    from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer
    from TTS.tts.models.xtts import Xtts

    config = XttsConfig()
    config.load_json(str(folder / "config.json"))
    tokenizer = VoiceBpeTokenizer(vocab_file=str(folder / "vocab.json"))

    class Network(Xtts):  # type: ignore[misc]
        def eval(self) -> Any:
            """As torch has it: the library's builds a second model around the GPT and returns nothing."""
            return self.train(False)

    def build() -> Any:
        with _quiet("transformers.configuration_utils"):  # the library's GPT has no such tokens as it warns of
            network = Network(config)
            network.tokenizer = tokenizer
            network.init_models()
        return network

    network = load_module(build, _state(folder / "model.pth"), device)
    fold_weight_norm(network.hifigan_decoder.waveform_decoder)
    return network


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Nothing under an error from the logger `name` in this block."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _state(path: Path) -> dict[str, torch.Tensor]:
    from TTS.config.shared_configs import BaseDatasetConfig
    from TTS.tts.configs.xtts_config import XttsArgs, XttsAudioConfig, XttsConfig

    where = "TTS.tts.models.xtts"  # where the classes were when the published file was written
    allowed = [
        BaseDatasetConfig, XttsConfig, XttsArgs, XttsAudioConfig,
        (XttsArgs, f"{where}.XttsArgs"), (XttsAudioConfig, f"{where}.XttsAudioConfig"),
    ]  # fmt: skip
    state = read_checkpoint(path, allowed)["model"]
    named = {name.removeprefix("xtts."): tensor for name, tensor in state.items()}
    return {
        name: tensor
        for name, tensor in named.items()
        if name.split(".")[0] not in _IGNORED and not name.startswith(_REPEATED)
    }


def _speakers(path: Path, device: str) -> dict[str, Voice]:
    if not path.is_file():
        return {}
    return {
        name: Voice(entry["gpt_cond_latent"].to(device), entry["speaker_embedding"].to(device))
        for name, entry in read_checkpoint(path).items()
    }


def _halve(gpt: Any) -> None:
    """The language model in float16; what listens to the reference stays as it is."""
    gpt.half()
    gpt.conditioning_encoder.float()
    gpt.conditioning_perceiver.float()


def latents(loaded: Loaded, tokens: list[int], voice: Voice, sampling: Sampling) -> Iterator[torch.Tensor]:
    """The latents [1, channels] the GPT gives for a sentence's `tokens`, until it stops or can say no more."""
    import torch
    from transformers import DynamicCache

    gpt = loaded.network.gpt
    ids, step = _prefix(gpt, tokens, voice)
    cache = DynamicCache()
    for index in range(gpt.max_gen_mel_tokens):
        with torch.inference_mode():
            out = _through(gpt.gpt, step, cache)
            latent = gpt.final_norm(out)
            token = sampling.choose(ids, gpt.mel_head(latent).float())
            yield latent
            if int(token) == gpt.stop_audio_token:
                return
            ids = torch.cat([ids, token], dim=1)
            step = gpt.mel_embedding(token) + gpt.mel_pos_embedding.get_fixed_embedding(index + 1, token.device)


def _prefix(gpt: Any, tokens: list[int], voice: Voice) -> tuple[torch.Tensor, torch.Tensor]:
    """What stands before the first latent: token ids (ones for what has none) and embeddings."""
    import torch

    device, kind = voice.prompt.device, gpt.mel_head.weight.dtype
    text = torch.tensor([[gpt.start_text_token, *tokens, gpt.stop_text_token]], device=device)
    start = torch.full((1, 1), gpt.start_audio_token, device=device)
    with torch.inference_mode():
        spoken = gpt.text_embedding(text) + gpt.text_pos_embedding(text)
        start_sound = gpt.mel_embedding(start) + gpt.mel_pos_embedding(start)
        embedded = torch.cat([voice.prompt.to(kind), spoken, start_sound], dim=1)
    ids = torch.ones((1, embedded.shape[1]), dtype=torch.long, device=device)
    ids[:, -1] = gpt.start_audio_token
    return ids, embedded


def _through(transformer: Any, embedded: torch.Tensor, cache: Any) -> torch.Tensor:
    """The last hidden state, [1, channels]. The transformer's own positions are zeros, which must not widen float16."""
    import torch

    transformer.wpe = lambda positions: torch.zeros((), dtype=embedded.dtype, device=embedded.device)
    hidden: torch.Tensor = transformer(inputs_embeds=embedded, past_key_values=cache, use_cache=True).last_hidden_state
    return hidden[:, -1]


class Sampling:
    """Chooses tokens as the library does, from random numbers of its own."""

    def __init__(
        self, seed: int, device: str, temperature: float, top_k: int, top_p: float, repetition_penalty: float
    ) -> None:
        import torch
        from transformers.generation.logits_process import (
            LogitsProcessorList,
            RepetitionPenaltyLogitsProcessor,
            TemperatureLogitsWarper,
            TopKLogitsWarper,
            TopPLogitsWarper,
        )

        self._generator = torch.Generator(device).manual_seed(seed)
        self._narrow = LogitsProcessorList(
            [
                RepetitionPenaltyLogitsProcessor(repetition_penalty),
                TemperatureLogitsWarper(temperature),
                TopKLogitsWarper(top_k),
                TopPLogitsWarper(top_p),
            ]
        )

    def choose(self, ids: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """The next token, [1, 1], after `ids` [1, n]."""
        import torch

        odds = torch.softmax(self._narrow(ids, logits), dim=-1)
        return torch.multinomial(odds, 1, generator=self._generator)
