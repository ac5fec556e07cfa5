"""Real-size networks with random weights, in each library's own format: how to save, and two ways to load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Network:
    """save(folder) writes a checkpoint; library(folder) loads it as its library does; ours(folder) with our loader.

    file: a pattern, since demucs puts a checksum into the name.
    """

    name: str
    file: str
    save: Callable[[Path], None]
    library: Callable[[Path], Any]
    ours: Callable[[Path], Any]

    def path(self, folder: Path) -> Path:
        return next(folder.glob(self.file))


def htdemucs() -> Network:
    from fractions import Fraction

    from demucs.htdemucs import HTDemucs
    from demucs.states import get_state, load_model, save_with_checksum

    from nodes.loading.checkpoint import load_module, read_checkpoint

    given = {"sources": ["drums", "bass", "other", "vocals"], "channels": 48, "bottom_channels": 512, "t_layers": 5}
    given |= {"segment": Fraction(39, 5)}

    def save(folder: Path) -> None:
        net = HTDemucs(**given)
        arguments, keywords = net._init_args_kwargs
        package = {"klass": HTDemucs, "args": arguments, "kwargs": keywords, "training_args": {}}
        save_with_checksum({**package, "state": get_state(net, None, half=True)}, folder / "htdemucs.th")

    def library(folder: Path) -> Any:
        return load_model(next(folder.glob("htdemucs*.th"))).eval()

    def ours(folder: Path) -> Any:
        package = read_checkpoint(next(folder.glob("htdemucs*.th")), allowed=[HTDemucs, Fraction])
        keywords = {**package["kwargs"], "rescale": 0}  # as our node does
        return load_module(lambda: HTDemucs(*package["args"], **keywords), package["state"])

    return Network("htdemucs", "htdemucs*.th", save, library, ours)


def xtts() -> Network:
    from TTS.tts.configs.xtts_config import XttsArgs, XttsConfig
    from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer
    from TTS.tts.models.xtts import Xtts

    from nodes.loading.checkpoint import load_module, read_checkpoint

    def built(folder: Path) -> Any:
        sizes = {"gpt_max_audio_tokens": 605, "gpt_max_text_tokens": 402, "gpt_num_audio_tokens": 1026}
        sizes |= {"gpt_start_audio_token": 1024, "gpt_stop_audio_token": 1025, "gpt_number_text_tokens": 6681}
        net = Xtts(XttsConfig(model_args=XttsArgs(**sizes, gpt_use_perceiver_resampler=True)))
        net.tokenizer = VoiceBpeTokenizer(vocab_file=str(folder / "vocab.json"))
        net.init_models()
        return net

    def save(folder: Path) -> None:
        import torch

        from tests.checkpoints.xtts import _write_vocabulary

        _write_vocabulary(folder / "vocab.json")
        net = built(folder)
        with torch.no_grad():  # random weights would never say that they are done; so they do after some 40 latents
            net.gpt.mel_head.bias[1025] = 3.0
        torch.save({"model": net.state_dict(), "config": {}}, folder / "model.pth")
        net.config.save_json(str(folder / "config.json"))

    def library(folder: Path) -> Any:
        config = XttsConfig()
        config.load_json(str(folder / "config.json"))
        net = Xtts.init_from_config(config)
        net.load_checkpoint(config, checkpoint_dir=str(folder), eval=True)
        return net

    def ours(folder: Path) -> Any:
        net = load_module(lambda: built(folder), read_checkpoint(folder / "model.pth")["model"])
        net.gpt.init_gpt_for_inference(kv_cache=net.args.kv_cache)
        net.gpt.eval()
        return net

    return Network("xtts", "model.pth", save, library, ours)


def hubert() -> Network:
    """The content encoder of RVC."""
    from transformers import HubertConfig, HubertModel

    from nodes.loading.checkpoint import load_module, read_checkpoint

    def ours(folder: Path) -> Any:
        state = read_checkpoint(folder / "model.safetensors")
        return load_module(lambda: HubertModel(HubertConfig.from_pretrained(folder)), state)

    return Network(
        "hubert",
        "model.safetensors",
        lambda folder: HubertModel(HubertConfig()).save_pretrained(folder),
        lambda folder: HubertModel.from_pretrained(folder).eval(),
        ours,
    )


NETWORKS = {"htdemucs": htdemucs, "hubert": hubert, "xtts": xtts}
