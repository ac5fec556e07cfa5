"""F5-TTS's network and its vocoder from local files, without the parts of the library that train, download or listen.

Importing the library's inference module would bring an ASR, globals and a thread pool whose memory multiplies with the number
of sentences; only its network is used here. Its vocoder's config names classes to import, so only the known ones are made.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from nodes.loading.checkpoint import load_module, read_checkpoint
from nodes.loading.faults import reading
from pipelines.schema.errors import TaskFailed

if TYPE_CHECKING:
    import torch

#: The shape of the published v1 base; `arch.json` beside the weights says another.
_V1_BASE: dict[str, Any] = {
    "dim": 1024, "depth": 22, "heads": 16, "ff_mult": 2, "text_dim": 512, "conv_layers": 4, "text_mask_padding": True,
}  # fmt: skip
_MEL = {
    "n_fft": 1024, "hop_length": 256, "win_length": 1024, "n_mel_channels": 100, "target_sample_rate": 24000,
    "mel_spec_type": "vocos",
}  # fmt: skip
#: Keys that say how training went, or hold what the network computes itself.
_IGNORED = ("initted", "step", "mel_spec.mel_stft.mel_scale.fb", "mel_spec.mel_stft.spectrogram.window")


@dataclass(eq=False)
class Loaded:
    """network: the library's `CFM`. vocoder: Vocos. device: as torch names it."""

    network: Any
    vocoder: Any
    device: str


def load(folder: Path | None, device: str, dtype: torch.dtype) -> Loaded:
    """The only model (`*.safetensors` or `*.pt`), `vocab.txt` and `vocos/` in `folder`. Raises `TaskFailed`."""
    checkpoint = _checkpoint(folder)
    folder = checkpoint.parent
    advice = "Check it with `headroom weights verify speak/f5`."
    try:
        with reading(f"The F5 checkpoint in {folder}", advice), _without_training():
            return Loaded(_network(checkpoint, device, dtype), _vocoder(folder / "vocos", device), device)
    except ModuleNotFoundError as error:
        raise TaskFailed(
            f"F5 needs the package {error.name!r}; its own environment has it (isolation: process)."
        ) from error


def _checkpoint(folder: Path | None) -> Path:
    found = [] if folder is None else sorted([*folder.glob("*.safetensors"), *folder.glob("*.pt")])
    wanted = ("vocab.txt", "vocos/config.yaml", "vocos/pytorch_model.bin")
    absent = [name for name in wanted if folder is None or not (folder / name).is_file()]
    if len(found) != 1 or absent:
        missing = ", ".join([*(["one model_*.safetensors"] if len(found) != 1 else []), *absent])
        raise TaskFailed(
            f"F5 has no {missing} in {folder or 'any folder'}. Run `headroom weights fetch speak/f5`, or put the files of "
            "SWivid/F5-TTS (F5TTS_v1_Base) and, under vocos/, of charactr/vocos-mel-24khz there."
        )
    return found[0]


def _network(checkpoint: Path, device: str, dtype: torch.dtype) -> Any:
    from f5_tts.model.backbones.dit import DiT
    from f5_tts.model.cfm import CFM

    vocabulary = _vocabulary(checkpoint.parent / "vocab.txt")
    shape = _shape(checkpoint.parent / "arch.json")

    def build() -> Any:
        transformer = DiT(**shape, text_num_embeds=len(vocabulary), mel_dim=_MEL["n_mel_channels"])
        return CFM(transformer, mel_spec_kwargs=_MEL, odeint_kwargs={"method": "euler"}, vocab_char_map=vocabulary)

    state = read_checkpoint(checkpoint)
    state = state.get("ema_model_state_dict", state)
    named = {name.removeprefix("ema_model."): tensor for name, tensor in state.items()}
    return load_module(build, {name: t for name, t in named.items() if name not in _IGNORED}, device, dtype)


def _vocabulary(path: Path) -> dict[str, int]:
    """One character a line; the first is the space, which also stands for what is not there."""
    lines = path.read_text(encoding="utf-8").split("\n")
    characters = {character: index for index, character in enumerate(lines[:-1])}
    if characters.get(" ") != 0:
        raise ValueError("vocab.txt does not begin with a space.")
    return characters


def _shape(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return _V1_BASE
    shape = json.loads(path.read_text())
    if not isinstance(shape, dict) or not all(isinstance(value, (int, float)) for value in shape.values()):
        raise ValueError("arch.json must hold the network's sizes by name, as numbers.")
    return shape


def _vocoder(folder: Path, device: str) -> Any:
    import yaml
    from vocos.feature_extractors import MelSpectrogramFeatures
    from vocos.heads import ISTFTHead
    from vocos.models import VocosBackbone
    from vocos.pretrained import Vocos

    known = {"feature_extractor": MelSpectrogramFeatures, "backbone": VocosBackbone, "head": ISTFTHead}
    config = yaml.safe_load((folder / "config.yaml").read_text())
    for part, kind in known.items():
        named = config[part]["class_path"]
        if named.rpartition(".")[2] != kind.__name__:
            raise ValueError(f"vocos/config.yaml asks for {named} as {part}; only {kind.__name__} is known.")

    def build() -> Any:
        return Vocos(**{part: kind(**config[part]["init_args"]) for part, kind in known.items()})

    return load_module(build, read_checkpoint(folder / "pytorch_model.bin"), device)


@contextmanager
def _without_training() -> Iterator[None]:
    """Import the library in this block without its trainer, which needs loggers and datasets that speaking does not."""
    name = "f5_tts.model.trainer"
    stand_in = ModuleType(name)
    stand_in.Trainer = None  # type: ignore[attr-defined]
    added = sys.modules.setdefault(name, stand_in) is stand_in
    try:
        yield
    finally:
        if added:
            del sys.modules[name]
