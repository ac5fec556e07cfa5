"""Tiny FreeVC weights in the genuine formats: model.pth, config.json, WavLM-Large.pt and speaker_encoder.pt, random."""

WAVLM = {
    "extractor_mode": "layer_norm", "encoder_layers": 2, "encoder_embed_dim": 32, "encoder_ffn_embed_dim": 64,
    "encoder_attention_heads": 4, "layer_norm_first": True, "conv_feature_layers": "[(32,10,5)] + [(32,3,2)] * 4 + [(32,2,2)] * 2",
    "normalize": True, "conv_pos": 16, "conv_pos_groups": 4, "relative_position_embedding": True, "gru_rel_pos": True,
}  # fmt: skip


def freevc_network(seed=0):
    """The library's own network at the tiny size, with random weights."""
    import torch
    from TTS.vc.configs.freevc_config import FreeVCConfig
    from TTS.vc.layers.freevc.wavlm.wavlm import WavLM, WavLMConfig
    from TTS.vc.models import freevc

    from nodes.convert.freevc.model import _instead, _speaker_encoder

    config = FreeVCConfig()
    args = config.model_args
    args.use_spk = True  # as the published ones
    args.ssl_dim, args.inter_channels, args.hidden_channels, args.upsample_initial_channel, args.spec_channels = (
        32,
        32,
        32,
        32,
        65,
    )
    args.upsample_rates, args.upsample_kernel_sizes = [10, 6, 4, 2], [16, 16, 4, 4]
    with torch.random.fork_rng():
        torch.manual_seed(seed)

        class Offline(freevc.FreeVC):
            def load_pretrained_speaker_encoder(self):
                self.enc_spk_ex = _speaker_encoder()

        with _instead(freevc, "get_wavlm", lambda: WavLM(WavLMConfig(WAVLM))):
            return Offline(config).eval()


def make_freevc(folder, seed=0):
    """Write the four files into `folder`."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    network = freevc_network(seed)
    config, state = network.config, network.state_dict()
    parts = {
        part: {n.removeprefix(part): t for n, t in state.items() if n.startswith(part)}
        for part in ("wavlm.", "enc_spk_ex.")
    }
    own = {name: tensor for name, tensor in state.items() if not name.startswith(("wavlm.", "enc_spk_ex."))}
    torch.save({"model": _as_published(own), "config": config.to_dict()}, folder / "model.pth")
    torch.save({"cfg": WAVLM, "model": _as_published(parts["wavlm."])}, folder / "WavLM-Large.pt")
    extra = {"similarity_weight": torch.ones(1), "similarity_bias": torch.ones(1)}
    torch.save({"model_state": parts["enc_spk_ex."] | extra, "step": 1}, folder / "speaker_encoder.pt")
    config.save_json(str(folder / "config.json"))
    return folder


def _as_published(state):
    """Factors of normed weights under the names they had when the published files were written."""
    names = {"original0": "weight_g", "original1": "weight_v"}
    return {
        ".".join([*path[:-3], names[path[-1]]]) if (path := name.split("."))[-1] in names else name: tensor
        for name, tensor in state.items()
    }
