"""Tiny RVC weights in the genuine formats: a voice (.pth), HuBERT as transformers saves it, rmvpe.pt and a faiss index."""

import json
from collections import OrderedDict

#: config in the order RVC writes it: spectrum, segment, inter, hidden, filter, heads, layers, kernel, dropout, resblock, ...
CONFIG = [
    1025, 32, 32, 32, 64, 2, 2, 3, 0, "1", [3, 5], [[1, 3, 5], [1, 3, 5]], [10, 10, 2, 2], 64, [16, 16, 4, 4], 2, 32, 40000,
]  # fmt: skip


def make_rvc(folder, name="voice", version="v2", pitched=True, seed=0, config=CONFIG):
    """Write `folder/name.pth` and, where absent, `folder/hubert/` and `folder/rmvpe.pt`. Weights are random and half."""
    import torch

    from nodes.convert.rvc.model import _shape
    from nodes.convert.rvc.network import Synthesizer

    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        found = {"config": list(config), "f0": int(pitched), "weight": {"emb_g.weight": torch.zeros(config[-3], 1)}}
        network = Synthesizer(_shape(found, version))
        for part in network.enc_p.encoder.attn_layers:
            part.emb_rel_k.data.normal_(0, 0.3)
            part.emb_rel_v.data.normal_(0, 0.3)
        state = _with_weight_norm(network.state_dict())
        voice = OrderedDict(
            weight=OrderedDict((key, value.half()) for key, value in state.items()),
            config=list(config), info="0epoch", sr="40k", f0=int(pitched), version=version,
        )  # fmt: skip
        torch.save(voice, folder / f"{name}.pth")
        if not (folder / "hubert").exists():
            make_hubert(folder / "hubert")
        if not (folder / "rmvpe.pt").exists():
            make_rmvpe(folder / "rmvpe.pt")
    return folder


def make_hubert(folder):
    """HuBERT with its final projection, two layers narrow but for the 768 features RVC needs, as ContentVec is published."""
    import torch
    from transformers import HubertConfig, HubertModel

    config = HubertConfig(
        hidden_size=768, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, conv_dim=(32,) * 7,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, classifier_proj_size=256,
    )  # fmt: skip

    class Projected(HubertModel):
        def __init__(self, config):
            super().__init__(config)
            self.final_proj = torch.nn.Linear(config.hidden_size, config.classifier_proj_size)

    state = Projected(config).state_dict()
    for factor, name in (("weight_g", "original0"), ("weight_v", "original1")):
        conv = "encoder.pos_conv_embed.conv."
        state[conv + factor] = state.pop(f"{conv}parametrizations.weight.{name}")
    folder.mkdir(parents=True)
    torch.save(state, folder / "pytorch_model.bin")
    message = config.to_dict() | {
        "gradient_checkpointing": False,
        "torch_dtype": "float32",
        "transformers_version": "4.27.3",
    }
    (folder / "config.json").write_text(json.dumps(message))


def make_rmvpe(path, channels=2):
    """RMVPE with `channels` instead of 16 in its first level."""
    import torch

    from nodes.convert.rvc.rmvpe import Rmvpe

    network = Rmvpe(channels)
    network.fc[1].bias.data.normal_(-3, 1.0)
    torch.save(network.state_dict(), path)


def make_index(path, features=768, count=200):
    """A faiss index as training writes it."""
    import faiss
    import numpy as np

    vectors = np.random.default_rng(0).normal(size=(count, features)).astype("float32")
    index = faiss.index_factory(features, "IVF4,Flat")
    index.train(vectors)
    index.add(vectors)
    faiss.write_index(index, str(path))


def _with_weight_norm(state):
    """Weights of the normed convolutions as direction and length, under the names checkpoints have."""
    import torch

    made = OrderedDict()
    for name, tensor in state.items():
        normed = name.startswith(("dec.ups.", "dec.resblocks.")) or ".enc." in name
        if normed and name.startswith(("dec.", "flow.")) and name.endswith(".weight"):
            stem = name.removesuffix("weight")
            made[stem + "weight_g"] = tensor.flatten(1).norm(dim=1).reshape(-1, *[1] * (tensor.ndim - 1))
            made[stem + "weight_v"] = tensor * torch.rand(1).add(0.5)
        else:
            made[name] = tensor
    return made
