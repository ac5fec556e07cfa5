"""FreeVC as coqui-tts defines it, from local files only. The library's own way there downloads two of its four files.

Its WavLM evaluates a piece of text in its checkpoint as Python to learn the shape of its convolutions; here that text is read
as data, and refused where it says more.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nodes.loading.checkpoint import fold_weight_norm, load_module, read_checkpoint
from nodes.loading.faults import reading
from pipelines.schema.errors import TaskFailed

if TYPE_CHECKING:
    import torch

FILES = ("model.pth", "config.json", "WavLM-Large.pt", "speaker_encoder.pt")
_CONVOLUTIONS = re.compile(r"^[\d\s()\[\],+*]{1,200}$")


@dataclass(eq=False)
class Loaded:
    """network: the library's `FreeVC`. device: as torch names it."""

    network: Any
    device: str

    @property
    def rate(self) -> int:
        """Hz of what it makes: 50 frames a second, each so many samples."""
        return 50 * math.prod(int(rate) for rate in self.network.args.upsample_rates)


def load(folder: Path | None, device: str) -> Loaded:
    """The checkpoint in `folder`. Raises `TaskFailed` where files are missing or not what they should be."""
    absent = [name for name in FILES if folder is None or not (folder / name).is_file()]
    if folder is None or absent:
        raise TaskFailed(
            f"FreeVC has no {', '.join(absent)} in {folder or 'any folder'}. model.pth and config.json are those of coqui's "
            "freevc24; the other two it would download from github.com/coqui-ai/TTS/releases (v0.13.0_models). Put all four there."
        )
    _compile()
    with reading(f"The FreeVC checkpoint in {folder}"):
        return Loaded(_network(folder, device), device)


def _network(folder: Path, device: str) -> Any:
    import TTS.vc.models.freevc as library
    from TTS.vc.configs.freevc_config import FreeVCConfig
    from TTS.vc.layers.freevc.wavlm.wavlm import WavLM, WavLMConfig

    config = FreeVCConfig()
    config.load_json(str(folder / "config.json"))
    if not config.model_args.use_spk:
        raise ValueError("config.json says use_spk: false; only models with the separate speaker encoder are known.")
    wavlm = read_checkpoint(folder / "WavLM-Large.pt")
    shape = _plain(wavlm["cfg"])

    class Local(library.FreeVC):  # type: ignore[misc]
        def load_pretrained_speaker_encoder(self) -> None:
            """An empty one; its weights come with the others."""
            self.enc_spk_ex = _speaker_encoder()

    def build() -> Any:
        with _instead(library, "get_wavlm", lambda: WavLM(WavLMConfig(shape))):
            return Local(config)

    network = load_module(build, _state(folder, wavlm["model"]), device)
    fold_weight_norm(network)
    del network.enc_q  # listens to the target in training only
    return network


def _compile() -> None:
    """Import what the library uses of librosa, which numba compiles at a machine's first import.

    What that leaves behind keeps every frame around it until the next full collection, so no frame may hold the network yet.
    In the first run, besides, its peak would count them.
    """
    from librosa.effects import trim  # noqa: F401
    from librosa.feature import melspectrogram, rms  # noqa: F401


def _state(folder: Path, wavlm: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """All weights by the network's names. What model.pth holds of the other files' networks outranks them."""
    speaker = read_checkpoint(folder / "speaker_encoder.pt")["model_state"]
    own = read_checkpoint(folder / "model.pth")["model"]
    return {
        **{f"wavlm.{name}": tensor for name, tensor in wavlm.items()},
        **{f"enc_spk_ex.{name}": t for name, t in speaker.items() if name.startswith(("lstm.", "linear."))},
        **own,
    }


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """WavLM's config with its convolutions as a list's text and nothing else."""
    text = str(config["conv_feature_layers"])
    if not _CONVOLUTIONS.match(text) or "**" in text:
        raise ValueError(f"WavLM's conv_feature_layers is not a list of sizes: {text[:60]!r}.")
    return {**config, "conv_feature_layers": repr(_sizes(ast.parse(text, mode="eval").body))}


def _sizes(node: ast.expr) -> list[tuple[int, ...]]:
    """`[(512, 10, 5)] + [(512, 3, 2)] * 4` as a list."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _sizes(node.left) + _sizes(node.right)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        times = ast.literal_eval(node.right)
        if not isinstance(times, int) or not 0 < times <= 16:
            raise ValueError("WavLM's conv_feature_layers repeats a layer more than 16 times.")
        return _sizes(node.left) * times
    return [tuple(int(size) for size in layer) for layer in ast.literal_eval(node)]


def _speaker_encoder() -> Any:
    import torch
    from TTS.vc.layers.freevc.speaker_encoder import hparams
    from TTS.vc.layers.freevc.speaker_encoder.speaker_encoder import SpeakerEncoder

    class Empty(SpeakerEncoder):  # type: ignore[misc]
        def __init__(self) -> None:
            torch.nn.Module.__init__(self)
            hidden = hparams.model_hidden_size
            self.lstm = torch.nn.LSTM(hparams.mel_n_channels, hidden, hparams.model_num_layers, batch_first=True)
            self.linear = torch.nn.Linear(hidden, hparams.model_embedding_size)
            self.relu = torch.nn.ReLU()

    return Empty()


@contextmanager
def _instead(module: Any, name: str, value: Any) -> Iterator[None]:
    original = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, original)
