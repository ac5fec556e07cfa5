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

    from nodes.weights.loading import load_module, read_checkpoint

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
        return load_module(lambda: HTDemucs(*package["args"], **package["kwargs"]), package["state"])

    return Network("htdemucs", "htdemucs*.th", save, library, ours)


def xtts() -> Network:
    import json

    from TTS.tts.configs.xtts_config import XttsArgs, XttsConfig
    from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer
    from TTS.tts.models.xtts import Xtts

    from nodes.weights.loading import load_module, read_checkpoint

    def config(folder: Path) -> Any:
        sizes = {"gpt_max_audio_tokens": 605, "gpt_max_text_tokens": 402, "gpt_num_audio_tokens": 1026}
        sizes |= {"gpt_start_audio_token": 1024, "gpt_stop_audio_token": 1025, "gpt_number_text_tokens": 6681}
        args = XttsArgs(**sizes, gpt_use_perceiver_resampler=True, tokenizer_file=str(folder / "vocab.json"))
        return XttsConfig(model_args=args)

    def save(folder: Path) -> None:
        import torch

        _write_vocabulary(folder / "vocab.json", json)
        net = Xtts(config(folder))
        net.tokenizer = VoiceBpeTokenizer(vocab_file=str(folder / "vocab.json"))
        net.init_models()
        torch.save({"model": net.state_dict(), "config": {}}, folder / "model.pth")

    def library(folder: Path) -> Any:
        given = config(folder)
        net = Xtts.init_from_config(given)
        net.load_checkpoint(given, checkpoint_dir=str(folder), eval=True)
        return net

    def ours(folder: Path) -> Any:
        def build() -> Any:
            net = Xtts.init_from_config(config(folder))
            net.tokenizer = VoiceBpeTokenizer(vocab_file=str(folder / "vocab.json"))
            net.init_models()
            return net

        net = load_module(build, read_checkpoint(folder / "model.pth")["model"])
        net.gpt.init_gpt_for_inference(kv_cache=net.args.kv_cache)
        net.gpt.eval()
        return net

    return Network("xtts", "model.pth", save, library, ours)


def hubert() -> Network:
    """The content encoder of RVC."""
    from transformers import HubertConfig, HubertModel

    from nodes.weights.loading import load_module, read_checkpoint

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


def _write_vocabulary(path: Path, json: Any) -> None:
    """A tokenizer file with XTTS's special tokens; the library asks only for their numbers."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    special = ["[STOP]", "[UNK]", "[SPACE]"]
    letters = list("abcdefghijklmnopqrstuvwxyz.,!?'-")
    tokens = special + letters + ["[en]", "[START]"] + [f"<{number}>" for number in range(6681 - 37)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in [*special, "[en]", "[START]"]]
    )
    tokenizer.save(str(path))
