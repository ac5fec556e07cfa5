"""XTTS at its real size with random weights: streaming by windows against the library's, and loading against the library's.

`python -m benchmarks.models speak`. The library's side is its own code: the decoder over all latents so far for every chunk,
as `Xtts.inference_stream` does, and `Xtts.load_checkpoint`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.models.apart import apart, measured

#: Latents (46 ms each) of a short and a four times longer sentence, and between two chunks.
SHORT, LONG, CHUNK = 40, 160, 20


def streaming(count: int, ours: bool) -> dict[str, Any]:
    """Vocode `count` latents as a stream. Frames are those the convolutions saw."""
    import numpy as np
    import torch
    from TTS.tts.layers.xtts.hifigan_decoder import HifiDecoder

    from nodes.loading.checkpoint import fold_weight_norm
    from nodes.speak.xtts.vocoder import Vocoder

    torch.manual_seed(0)
    decoder = HifiDecoder().eval()
    if ours:
        fold_weight_norm(decoder.waveform_decoder)
    latents, speaker, seen = torch.randn(count, 1024), torch.randn(1, 512, 1), []
    decoder.waveform_decoder.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[-1]))

    def by_windows() -> Any:
        vocoder, pieces = Vocoder(decoder, speaker), []
        for index, latent in enumerate(latents):
            vocoder.push(latent[None])
            if index % CHUNK == CHUNK - 1:
                pieces.append(vocoder.take())
        return np.concatenate([*pieces, vocoder.take(ended=True)])

    def by_the_library() -> Any:
        with torch.inference_mode():
            for end in [*range(CHUNK, count + 1, CHUNK), count]:
                whole = decoder(latents[None, :end], g=speaker)
        return whole[0, 0].numpy()

    made, cost = measured(by_windows if ours else by_the_library)
    with torch.inference_mode():
        apart_ = float(np.abs(made - decoder(latents[None], g=speaker)[0, 0].numpy()).max())
    return {
        **cost,
        "frames": sum(seen[: -1 if ours else None]) if ours else sum(seen) - seen[-1],
        "differs": apart_,
        "samples": len(made),
    }


def make_real(folder: str) -> dict[str, Any]:
    """A checkpoint of the published size with random weights."""
    import torch
    from TTS.tts.configs.xtts_config import XttsArgs, XttsConfig
    from TTS.tts.models.xtts import Xtts

    from nodes.loading.checkpoint import without_filling
    from tests.checkpoints.xtts import _write_vocabulary

    place = Path(folder)
    _write_vocabulary(place / "vocab.json")
    args = XttsArgs(
        gpt_layers=30, gpt_n_model_channels=1024, gpt_n_heads=16, gpt_num_audio_tokens=1026, gpt_start_audio_token=1024,
        gpt_stop_audio_token=1025, gpt_use_perceiver_resampler=True, gpt_number_text_tokens=6681, gpt_start_text_token=261,
        gpt_stop_text_token=0,
    )  # fmt: skip
    config = XttsConfig(model_args=args)
    with without_filling():
        network = Xtts(config)
        from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer

        network.tokenizer = VoiceBpeTokenizer(vocab_file=str(place / "vocab.json"))
        network.init_models()
    torch.save({"model": network.state_dict(), "config": config.to_dict()}, place / "model.pth")
    config.save_json(str(place / "config.json"))
    return {"bytes": (place / "model.pth").stat().st_size}


def loading(folder: str, ours: bool) -> dict[str, Any]:
    """Load that checkpoint on the CPU."""
    from TTS.tts.configs.xtts_config import XttsConfig
    from TTS.tts.models.xtts import Xtts as Library

    from nodes.speak.xtts import Xtts
    from pipelines.schema.node import Place

    def library() -> Any:
        config = XttsConfig()
        config.load_json(str(Path(folder) / "config.json"))
        network = Library(config)
        network.load_checkpoint(config, checkpoint_dir=folder, eval=True)
        return network

    return measured((lambda: Xtts().load(Place("cpu", Path(folder)))) if ours else library)[1]


def run(quick: bool) -> dict[str, Any]:
    """Streaming, both sides; loading too unless `quick`."""
    sides = {
        who: {count: apart(streaming, count=count, ours=ours) for count in (SHORT, LONG)}
        for who, ours in (("ours", True), ("library", False))
    }
    ratio = {who: round(by[LONG]["processor_seconds"] / by[SHORT]["processor_seconds"], 2) for who, by in sides.items()}
    work = {who: round(by[LONG]["frames"] / by[SHORT]["frames"], 2) for who, by in sides.items()}
    differs = max(by["differs"] for by in sides["ours"].values())
    found: dict[str, Any] = {"streaming": sides, "time_4x": ratio, "frames_4x": work}
    found["bars"] = {
        f"4x text costs {ratio['ours']}x processor time (at most 4.4; the library {ratio['library']}x)": ratio["ours"]
        <= 4.4,
        f"4x text vocodes {work['ours']}x frames (at most 4.4; the library {work['library']}x)": work["ours"] <= 4.4,
        f"samples {differs:.1e} from vocoding all at once (at most 1e-4)": differs <= 1e-4,
    }
    return found if quick else found | _loads(found["bars"])


def _loads(bars: dict[str, bool]) -> dict[str, Any]:
    """What loading holds, as a share of the checkpoint's bytes; adds its bar."""
    with tempfile.TemporaryDirectory() as folder:
        size = apart(make_real, folder=folder)
        found = {**size, **{who: apart(loading, folder=folder, ours=who == "ours") for who in ("ours", "library")}}
    share = {who: found[who]["peak_mib"] * 2**20 / size["bytes"] for who in ("ours", "library")}
    bar = (
        f"loading holds {share['ours']:.2f}x the checkpoint's bytes (at most 1.15; the library {share['library']:.2f}x)"
    )
    bars[bar] = share["ours"] <= 1.15
    return {"loading": found}
