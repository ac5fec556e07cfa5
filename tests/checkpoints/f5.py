"""A tiny F5-TTS checkpoint in the genuine format: model_0.safetensors, vocab.txt, vocos/, and arch.json for its sizes."""

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


def make_f5(folder, seed=0):
    """Write the checkpoint into `folder`. Needs f5_tts and vocos."""
    import torch
    import yaml
    from safetensors.torch import save_file

    from nodes.speak.f5_model import _MEL, _without_training

    (folder / "vocos").mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(_CHARACTERS) + "\n")
    (folder / "arch.json").write_text(json.dumps(ARCH))
    with _without_training():
        from f5_tts.model.backbones.dit import DiT
        from f5_tts.model.cfm import CFM
        from vocos import Vocos
    vocabulary = {character: index for index, character in enumerate(_CHARACTERS)}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        transformer = DiT(**ARCH, text_num_embeds=len(vocabulary), mel_dim=100)
        for part in (transformer.proj_out, transformer.norm_out.linear):
            torch.nn.init.normal_(part.weight, std=0.1)  # published ones are trained; the library begins with zeros
        network = CFM(transformer, mel_spec_kwargs=_MEL, vocab_char_map=vocabulary)
        state = {f"ema_model.{name}": value.contiguous() for name, value in network.state_dict().items()}
        save_file(state | {"initted": torch.tensor(True), "step": torch.tensor(0)}, folder / "model_0.safetensors")
        vocos = {
            "feature_extractor": _part("feature_extractors.MelSpectrogramFeatures", n_fft=1024, hop_length=256, n_mels=100,
                                       sample_rate=24000, padding="center"),
            "backbone": _part("models.VocosBackbone", input_channels=100, dim=32, intermediate_dim=64, num_layers=2),
            "head": _part("heads.ISTFTHead", dim=32, n_fft=1024, hop_length=256, padding="center"),
        }  # fmt: skip
        (folder / "vocos" / "config.yaml").write_text(yaml.safe_dump(vocos))
        torch.save(
            Vocos.from_hparams(str(folder / "vocos" / "config.yaml")).state_dict(),
            folder / "vocos" / "pytorch_model.bin",
        )
    return folder


def _part(name, **arguments):
    return {"class_path": f"vocos.{name}", "init_args": arguments}
