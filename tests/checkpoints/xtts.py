"""A tiny XTTS v2 checkpoint in the genuine format: model.pth, config.json, vocab.json and speakers_xtts.pth, random weights."""

import functools
from contextlib import ExitStack, contextmanager
from unittest import mock

LANGUAGES = ("en", "de")
_CHARACTERS = "abcdefghijklmnopqrstuvwxyz.,!?'-äöüß"


@contextmanager
def small_vocoder():
    """Build XTTS with a narrow vocoder in this block: its width is not in the config, and a wide one takes seconds a second."""
    import TTS.tts.models.xtts as library

    narrow = functools.partial(library.HifiDecoder, upsample_initial_channel_decoder=32)
    with mock.patch.object(library, "HifiDecoder", narrow):
        yield


def make_xtts(folder, seed=0, stop=1.2):
    """Write the checkpoint into `folder`. stop: how likely (as a logit) the GPT is to end; 1.2 gives 10 to 80 latents of 46 ms."""
    import torch
    from TTS.tts.configs.xtts_config import XttsArgs, XttsConfig
    from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer
    from TTS.tts.models.xtts import Xtts

    folder.mkdir(parents=True, exist_ok=True)
    _write_vocabulary(folder / "vocab.json")
    args = XttsArgs(
        gpt_layers=2,
        gpt_n_model_channels=64,
        gpt_n_heads=2,
        gpt_num_audio_tokens=1026,
        gpt_start_audio_token=1024,
        gpt_stop_audio_token=1025,
        gpt_use_perceiver_resampler=True,
        decoder_input_dim=64,
    )
    config = XttsConfig(model_args=args)
    network = Xtts(config)
    network.tokenizer = VoiceBpeTokenizer(vocab_file=str(folder / "vocab.json"))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network.init_models()
        with torch.no_grad():
            network.gpt.mel_head.bias[args.gpt_stop_audio_token] = stop
        speakers = {
            name: {"gpt_cond_latent": torch.randn(1, 32, 64), "speaker_embedding": torch.randn(1, 512, 1)}
            for name in ("Ana", "Ben")
        }
    with _where_they_were():
        torch.save({"model": network.state_dict(), "config": config}, folder / "model.pth")
    torch.save(speakers, folder / "speakers_xtts.pth")
    config.save_json(str(folder / "config.json"))
    return folder


@contextmanager
def _where_they_were():
    """The classes of its config in this block where they were when the published file, which holds one, was written."""
    import TTS.tts.models.xtts as library
    from TTS.tts.configs.xtts_config import XttsArgs, XttsAudioConfig

    with ExitStack() as stack:
        for kind in (XttsArgs, XttsAudioConfig):
            stack.enter_context(mock.patch.object(library, kind.__name__, kind, create=True))
            stack.enter_context(mock.patch.object(kind, "__module__", library.__name__))
        yield


def _write_vocabulary(path):
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    special = ["[STOP]", "[UNK]", "[SPACE]", *(f"[{language}]" for language in LANGUAGES), "[START]"]
    names = [*special[:3], *_CHARACTERS, *special[3:]]
    tokenizer = Tokenizer(
        models.BPE(vocab={name: index for index, name in enumerate(names)}, merges=[], unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in special])
    tokenizer.save(str(path))
