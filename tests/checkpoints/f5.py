"""A tiny F5-TTS checkpoint in the genuine format: the network, vocab.txt, vocos/, and arch.json for its sizes.

The names and shapes are written out, for the library needs an environment of its own; tests/nodes/speak/test_f5.py compares them with it.
"""

import json

ARCH = {
    "dim": 64,
    "depth": 2,
    "heads": 2,
    "dim_head": 32,
    "ff_mult": 2,
    "text_dim": 32,
    "conv_layers": 1,
    "text_mask_padding": True,
}
_CHARACTERS = " abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,!?'-"
_BANDS, _WINDOW, _VOCODER, _VOCODER_LAYERS = 100, 1024, 32, 2
MODEL = "model_1250000.safetensors"


def make_f5(folder, seed=0):
    """Write the checkpoint into `folder`."""
    import torch
    import yaml
    from safetensors.torch import save_file

    (folder / "vocos").mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(_CHARACTERS) + "\n")
    (folder / "arch.json").write_text(json.dumps(ARCH))
    (folder / "vocos" / "config.yaml").write_text(yaml.safe_dump(_vocos_config()))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = {f"ema_model.transformer.{name}": value for name, value in _transformer().items()}
        save_file(network | {"initted": torch.tensor(True), "step": torch.tensor(0)}, folder / MODEL)
        torch.save(_vocos(), folder / "vocos" / "pytorch_model.bin")
    return folder


def _transformer():
    """Tensors of a DiT by name. What published ones have trained away from zero is not left at zero."""
    import torch

    wide, text, head = ARCH["dim"], ARCH["text_dim"], ARCH["dim_head"]
    inner, own = ARCH["heads"] * head, ARCH["ff_mult"] * wide
    made = {"text_embed.text_embed.weight": torch.randn(len(_CHARACTERS) + 1, text)}
    for index in range(ARCH["conv_layers"]):
        block = f"text_embed.text_blocks.{index}."
        made |= _convnext(block, text, 2 * text)
        made |= {f"{block}grn.{name}": torch.zeros(1, 1, 2 * text) for name in ("gamma", "beta")}
    made |= _linear("time_embed.time_mlp.0", 256, wide) | _linear("time_embed.time_mlp.2", wide, wide)
    made |= _linear("input_embed.proj", 2 * _BANDS + text, wide)
    for index in (0, 2):
        name = f"input_embed.conv_pos_embed.conv1d.{index}"
        made |= {f"{name}.weight": torch.randn(wide, wide // 16, 31) / 20, f"{name}.bias": torch.zeros(wide)}
    made["rotary_embed.inv_freq"] = 1.0 / 10000 ** (torch.arange(0, head, 2) / head)
    for index in range(ARCH["depth"]):
        block = f"transformer_blocks.{index}."
        made |= _linear(f"{block}attn_norm.linear", wide, 6 * wide, 0.1)
        for name in ("to_q", "to_k", "to_v"):
            made |= _linear(f"{block}attn.{name}", wide, inner)
        made |= _linear(f"{block}attn.to_out.0", inner, wide)
        made |= _linear(f"{block}ff.ff.0.0", wide, own) | _linear(f"{block}ff.ff.2", own, wide)
    return made | _linear("norm_out.linear", wide, 2 * wide, 0.1) | _linear("proj_out", wide, _BANDS, 0.1)


def _vocos():
    import torch
    from torchaudio.functional import melscale_fbanks

    window = torch.hann_window(_WINDOW)
    made = {
        "feature_extractor.mel_spec.spectrogram.window": window,
        "feature_extractor.mel_spec.mel_scale.fb": melscale_fbanks(_WINDOW // 2 + 1, 0.0, 12000.0, _BANDS, 24000),
        "backbone.embed.weight": torch.randn(_VOCODER, _BANDS, 7) / 30,
        "backbone.embed.bias": torch.zeros(_VOCODER),
        **_norm("backbone.norm"),
    }
    for index in range(_VOCODER_LAYERS):
        block = f"backbone.convnext.{index}."
        made |= _convnext(block, _VOCODER, 2 * _VOCODER) | {f"{block}gamma": torch.full((_VOCODER,), 0.5)}
    made |= _norm("backbone.final_layer_norm") | _linear("head.out", _VOCODER, _WINDOW + 2)
    return made | {"head.istft.window": window.clone()}


def _convnext(block, width, inner):
    import torch

    made = {f"{block}dwconv.weight": torch.randn(width, 1, 7) / 4, f"{block}dwconv.bias": torch.zeros(width)}
    return (
        made
        | _norm(f"{block}norm")
        | _linear(f"{block}pwconv1", width, inner)
        | _linear(f"{block}pwconv2", inner, width)
    )


def _norm(name):
    import torch

    return {f"{name}.weight": torch.ones(_VOCODER), f"{name}.bias": torch.zeros(_VOCODER)}


def _linear(name, given, made, spread=None):
    import torch

    weight = torch.randn(made, given) * (spread if spread is not None else given**-0.5)
    return {f"{name}.weight": weight, f"{name}.bias": torch.zeros(made)}


def _vocos_config():
    features = {"sample_rate": 24000, "n_fft": _WINDOW, "hop_length": 256, "n_mels": _BANDS, "padding": "center"}
    backbone = {"input_channels": _BANDS, "dim": _VOCODER, "intermediate_dim": 2 * _VOCODER}
    return {
        "feature_extractor": _part("feature_extractors.MelSpectrogramFeatures", features),
        "backbone": _part("models.VocosBackbone", backbone | {"num_layers": _VOCODER_LAYERS}),
        "head": _part("heads.ISTFTHead", {"dim": _VOCODER, "n_fft": _WINDOW, "hop_length": 256, "padding": "center"}),
    }


def _part(name, arguments):
    return {"class_path": f"vocos.{name}", "init_args": arguments}
