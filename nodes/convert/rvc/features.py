"""HuBERT features of a chunk of sound, which tell the words and not the speaker; its convolutions go over windows.

The first convolutions run at up to 3,200 frames a second and hold 12.5 MB a second of sound; everything after them runs at
50. They are local except for one normalisation over the whole chunk, whose mean and variance are taken in a first pass.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nodes.loading.checkpoint import load_module, read_checkpoint
from nodes.loading.faults import reading
from pipelines.schema.errors import TaskFailed

if TYPE_CHECKING:
    import torch

#: Samples a feature frame steps by, samples the first one needs, and frames of a window (10 s).
STRIDE, _FIELD, _WINDOW = 320, 400, 500


def load_hubert(folder: Path, device: str, dtype: torch.dtype, version: str) -> Any:
    """transformers' HuBERT from `folder` (config.json and weights), cut after the layer that `version` (v1 | v2) listens to.

    Raises `TaskFailed` where it is missing or something else.
    """
    weights = [folder / name for name in ("model.safetensors", "pytorch_model.bin") if (folder / name).is_file()]
    if not weights or not (folder / "config.json").is_file():
        raise TaskFailed(
            f"There is no HuBERT in {folder}, which every RVC voice needs: config.json and its weights as transformers saves them. "
            "lengyue233/content-vec-best on the hub has them; fairseq's hubert_base.pt is another format."
        )
    with reading(f"The HuBERT in {folder}"):
        return _network(folder / "config.json", read_checkpoint(weights[0]), device, dtype, version)


def _network(config: Path, state: dict[str, torch.Tensor], device: str, dtype: torch.dtype, version: str) -> Any:
    import torch
    from transformers import HubertConfig, HubertModel

    shape = HubertConfig(**json.loads(config.read_text()))
    shape.mask_time_prob = shape.mask_feature_prob = 0.0  # masking belongs to training, and so does its embedding
    shape.num_hidden_layers = min(shape.num_hidden_layers, 9 if version == "v1" else 12)

    def build() -> Any:
        network = HubertModel(shape)
        if version == "v1":
            network.final_proj = torch.nn.Linear(shape.hidden_size, shape.classifier_proj_size)
        return network

    deeper = tuple(f"encoder.layers.{layer}." for layer in range(shape.num_hidden_layers, 48))
    unused = ("masked_spec_embed", *deeper, *(() if version == "v1" else ("final_proj.",)))
    needed = {name: tensor for name, tensor in state.items() if not name.startswith(unused)}
    network = load_module(build, needed, device, dtype)
    torch.nn.utils.parametrize.remove_parametrizations(network.encoder.pos_conv_embed.conv, "weight")
    return network


def features(network: Any, samples: torch.Tensor, window: int = _WINDOW) -> torch.Tensor:
    """[1, frames, features] of `samples` [1, n] at 16,000 Hz, a frame every 20 ms."""
    import torch

    with torch.inference_mode():
        local = _local(network.feature_extractor, samples, window)
        encoded = network.encoder(network.feature_projection(local.transpose(1, 2))).last_hidden_state
        projected: torch.Tensor = network.final_proj(encoded) if hasattr(network, "final_proj") else encoded
    return projected


def _local(extractor: Any, samples: torch.Tensor, window: int) -> torch.Tensor:
    """What the convolutions make of `samples`, [1, channels, frames]."""
    import torch

    first, *rest = extractor.conv_layers
    norm = _frozen(first, samples, window * STRIDE)
    frames, parts = (samples.shape[-1] - _FIELD) // STRIDE + 1, []
    for start in range(0, frames, window):
        stop = min(start + window, frames)
        x = samples[:, None, start * STRIDE : (stop - 1) * STRIDE + _FIELD]
        x = first.activation(norm(first.conv(x)))
        for layer in rest:
            x = layer(x)
        parts.append(x)
    return torch.cat(parts, dim=-1)


def _frozen(layer: Any, samples: torch.Tensor, block: int) -> Any:
    """The first layer's norm as a function of a part of its input. Over time it must have seen everything before."""
    import torch

    norm = getattr(layer, "layer_norm", None)
    if norm is None:
        return lambda x: x
    if not isinstance(norm, torch.nn.GroupNorm):
        return lambda x: norm(x.transpose(-2, -1)).transpose(-2, -1)
    size, step = layer.conv.kernel_size[0], layer.conv.stride[0]
    total = squares = torch.zeros((), dtype=torch.float64)
    count = (samples.shape[-1] - size) // step + 1
    for start in range(0, count, block // step):
        stop = min(start + block // step, count)
        made = layer.conv(samples[:, None, start * step : (stop - 1) * step + size]).double()
        total, squares = total + made.sum(-1, keepdim=True), squares + made.square().sum(-1, keepdim=True)
    mean = total / count
    scale = (squares / count - mean.square()).clamp_min(0).add(norm.eps).rsqrt() * norm.weight[:, None]
    shift = norm.bias[:, None] - mean * scale
    kind = samples.dtype
    return lambda x: x * scale.to(kind) + shift.to(kind)
