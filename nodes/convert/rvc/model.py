"""RVC voices on disk: the checkpoint with weight norm folded, the index of what the voice sounded like, and the shared parts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nodes.convert.rvc.features import load_hubert
from nodes.convert.rvc.network import Synthesizer
from nodes.convert.rvc.rmvpe import load_rmvpe
from nodes.convert.rvc.vocoder import Shape
from nodes.loading.checkpoint import load_module, read_checkpoint
from nodes.loading.faults import reading
from pipelines.schema.errors import TaskFailed, did_you_mean

if TYPE_CHECKING:
    import torch

    from pipelines.schema.values import Samples


@dataclass(frozen=True, eq=False)
class Voice:
    """A voice that is loaded. index: vectors of its training, [n, features], with faiss's searcher; None without one."""

    name: str
    version: str
    network: Synthesizer
    index: Index | None


@dataclass(frozen=True, eq=False)
class Index:
    """Which training vectors are nearest."""

    searcher: Any
    vectors: Samples

    def near(self, features: Samples) -> Samples:
        """For each row the mean of the eight nearest training vectors, weighed by inverse square distance; itself without any."""
        score, which = self.searcher.search(np.ascontiguousarray(features, np.float32), k=8)
        weight = np.where(which >= 0, 1 / np.square(np.maximum(score, 1e-9, dtype=np.float64)), 0)
        whole = weight.sum(axis=1, keepdims=True)  # 0 where the part of the index that was searched is empty
        mean = np.sum(self.vectors[which] * (weight / np.maximum(whole, 1e-30))[..., None], axis=1)
        found: Samples = np.where(whole > 0, mean, features).astype(np.float32)
        return found


@dataclass(eq=False)
class Loaded:
    """What is resident: one voice, HuBERT for its version, and the pitch tracker's model."""

    folder: Path
    device: str
    dtype: torch.dtype
    pitch: Any
    voice: Voice | None = None
    hubert: Any = None
    extra: dict[str, Any] = field(default_factory=dict)

    def choose(self, name: str) -> Voice:
        """The voice `name` (a file of the folder, without or with .pth; the only one where empty), loaded where another was."""
        path = find_voice(self.folder, name)
        if self.voice is None or self.voice.name != path.stem:
            version = self.voice.version if self.voice else ""
            self.voice = None  # never two at once
            self.voice = load_voice(path, self.device, self.dtype)
            if self.voice.version != version:
                self.hubert = None
                self.hubert = load_hubert(self.folder / "hubert", self.device, self.dtype, self.voice.version)
        return self.voice


def load(folder: Path | None, device: str, half: bool, pitch: str, name: str) -> Loaded:
    """The folder's voice `name` with all it needs. Raises `TaskFailed` with what is missing."""
    import torch

    if folder is None or not folder.is_dir():
        raise TaskFailed(
            f"There are no RVC weights in {folder or 'any folder'}: VOICE.pth, hubert/ and rmvpe.pt belong there."
        )
    dtype = torch.float16 if half else torch.float32
    tracker = load_rmvpe(folder / "rmvpe.pt", device, dtype) if pitch == "rmvpe" else None
    loaded = Loaded(folder, device, dtype, tracker)
    loaded.choose(name)
    return loaded


def find_voice(folder: Path, name: str) -> Path:
    """The checkpoint a voice is in. Raises `TaskFailed` where there is none, or more than one and no name."""
    known = {path.stem: path for path in sorted(folder.glob("*.pth"))}
    wanted = name.removesuffix(".pth")
    if wanted in known:
        return known[wanted]
    if wanted:
        raise TaskFailed(f"There is no RVC voice {wanted!r} in {folder}. {did_you_mean(wanted, known)}")
    if len(known) != 1:
        raise TaskFailed(
            f"{folder} has {len(known)} RVC voices (.pth). Name one with rvc_model=. {did_you_mean('', known)}"
        )
    return next(iter(known.values()))


def load_voice(path: Path, device: str, dtype: torch.dtype) -> Voice:
    """A v1 or v2 checkpoint with or without pitch, and the index beside it if there is one. Raises `TaskFailed`."""
    advice = (
        "A voice is the small file exported for inference (weight, config, version), not one of training (G_*.pth)."
    )
    with reading(f"The RVC voice {path}", advice):
        found = read_checkpoint(path)
        version = str(found.get("version", "v1"))
        shape = _shape(found, version)
        state = _folded(found["weight"])
        network = load_module(lambda: Synthesizer(shape), state, device, dtype)
    return Voice(path.stem, version, network, _index(path))


def _shape(found: Mapping[str, Any], version: str) -> Shape:
    if version not in ("v1", "v2"):
        raise ValueError(f"its version is {version!r}, not v1 or v2.")
    config = found["config"]
    (
        _,
        _,
        inter,
        hidden,
        filter_,
        heads,
        layers,
        kernel,
        _,
        resblock,
        res_kernels,
        res_dilations,
        rates,
        up,
        up_kernels,
    ) = config[:15]
    gin, rate = config[-2:]
    return Shape(
        inter, hidden, filter_, heads, layers, kernel, str(resblock), tuple(res_kernels),
        tuple(tuple(d) for d in res_dilations), tuple(rates), up, tuple(up_kernels),
        found["weight"]["emb_g.weight"].shape[0], gin, int(rate), 256 if version == "v1" else 768,
        pitched=bool(found.get("f0", 1)),
    )  # fmt: skip


def _folded(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Float32 weights with direction and length multiplied, and without the part that only training uses."""
    state = {}
    for name, tensor in weights.items():
        if name.startswith("enc_q."):
            continue
        if name.endswith(".weight_v"):
            length = weights[name.removesuffix("_v") + "_g"].float()
            direction = tensor.float()
            norm = direction.flatten(1).norm(dim=1).reshape(length.shape)
            state[name.removesuffix("_v")] = direction * (length / norm)
        elif not name.endswith(".weight_g"):
            state[name] = tensor.float()
    return state


def _index(voice: Path) -> Index | None:
    """`VOICE.index`, or the index that training named after the voice, such as `added_IVF256_Flat_nprobe_1_VOICE_v2.index`.

    One named `trained_` has no vectors in it yet. Raises `TaskFailed` where more than one could be meant.
    """
    own, word = voice.with_suffix(".index"), re.compile(rf"(?<![^\W_]){re.escape(voice.stem)}(?![^\W_])")
    beside = sorted(path for path in voice.parent.glob("*.index") if not path.name.startswith("trained_"))
    named = [own] if own.is_file() else [path for path in beside if word.search(path.stem)]
    if not named:
        return None
    if len(named) > 1:
        raise TaskFailed(
            f"{', '.join(path.name for path in named)} in {voice.parent} could all be the index of {voice.name}. "
            f"Rename the right one to {own.name}."
        )
    try:
        import faiss
    except ModuleNotFoundError:
        raise TaskFailed(
            f"{named[0]} needs the package faiss-cpu to be read. Install it, or move the file away."
        ) from None
    with reading(f"The index {named[0]}"):
        searcher = faiss.read_index(str(named[0]))
        return Index(searcher, searcher.reconstruct_n(0, searcher.ntotal))
