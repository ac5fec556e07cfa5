"""A tiny multilingual Whisper that recites a given transcript, written as CTranslate2's converter writes a real one.

Its decoder looks only at the position: the embedding of position i points at the token the script has there, the blocks
add nothing, so greedy or beam search must say the script. Everything else is genuine: a Hugging Face checkpoint with
Whisper v3's vocabulary layout, the library's converter, faster-whisper's loader, its word times from cross-attention.
"""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

_WIDTH, _BASE, _STAMP = 128, 50256, 0.02


def make_whisper(
    folder: Path, words: str = "hello world this is a tiny song", seconds: float = 9.0, **sizes: int
) -> Path:
    """Write the model into `folder` and return it. It says `words` within `seconds` of whatever it hears. 0.5 s, 16 MB.

    sizes: fields of Hugging Face's WhisperConfig, for a larger one.
    """
    import torch
    from ctranslate2.converters import TransformersConverter

    source = folder.parent / f"{folder.name}_hf"
    source.mkdir(parents=True, exist_ok=True)
    script = words.split()
    tokenizer, ids = _tokenizer(script)
    tokenizer.save_pretrained(source)
    torch.manual_seed(0)
    network = _network(len(tokenizer), ids, **sizes)
    stamp = lambda second: ids(f"<|{round(second / _STAMP) * _STAMP:.2f}|>")  # noqa: E731
    end = ids("<|endoftext|>")
    _recite(network, ids("<|en|>"), [stamp(0.0), *(ids(f"Ġ{word}") for word in script), stamp(seconds), end], end)
    network.save_pretrained(source)
    preprocessor = {"feature_size": network.config.num_mel_bins, "sampling_rate": 16000, "hop_length": 160,
                    "chunk_length": 30, "n_fft": 400, "feature_extractor_type": "WhisperFeatureExtractor"}  # fmt: skip
    (source / "preprocessor_config.json").write_text(json.dumps(preprocessor), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    converter = TransformersConverter(str(source), copy_files=["tokenizer.json", "preprocessor_config.json"])
    converter.convert(str(folder), quantization="float16")
    shutil.rmtree(source)
    return folder


def _tokenizer(words: list[str]) -> tuple[Any, Any]:
    """Words as whole tokens, in Whisper v3's layout: base tokens, the empty one (it marks the model multilingual), specials."""
    from faster_whisper.tokenizer import _LANGUAGE_CODES
    from tokenizers import AddedToken, Tokenizer, decoders, models
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import PreTrainedTokenizerFast

    vocabulary = {character: index for index, character in enumerate(sorted(ByteLevel.alphabet()))}
    for word in words:
        vocabulary.setdefault(f"Ġ{word}", len(vocabulary))
    while len(vocabulary) < _BASE:
        vocabulary[f"x{len(vocabulary)}"] = len(vocabulary)
    vocabulary[""] = _BASE
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer, made.decoder = ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    after = ["translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps"]
    special = ["endoftext", "startoftranscript", *_LANGUAGE_CODES, *after]
    made.add_special_tokens([AddedToken(f"<|{name}|>", special=True, normalized=False) for name in special])
    made.add_tokens([AddedToken(f"<|{index * _STAMP:.2f}|>", normalized=False) for index in range(1501)])
    end = "<|endoftext|>"
    fast = PreTrainedTokenizerFast(tokenizer_object=made, bos_token=end, eos_token=end, unk_token=end)
    return fast, made.token_to_id


def _network(size: int, ids: Any, **sizes: int) -> Any:
    from faster_whisper.tokenizer import _LANGUAGE_CODES
    from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

    end, start = ids("<|endoftext|>"), ids("<|startoftranscript|>")
    marks = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end, "decoder_start_token_id": start}
    tiny = {"num_mel_bins": 128, "d_model": _WIDTH, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
            "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}  # fmt: skip
    config = WhisperConfig(
        vocab_size=size, max_source_positions=1500, max_target_positions=448, **(tiny | sizes), **marks
    )
    network = WhisperForConditionalGeneration(config)
    generation = GenerationConfig(suppress_tokens=[], begin_suppress_tokens=[end], **marks)
    generation.alignment_heads = [[0, 0], [0, 1]]
    generation.lang_to_id = {f"<|{code}|>": ids(f"<|{code}|>") for code in _LANGUAGE_CODES}
    generation.is_multilingual = True
    network.generation_config = generation
    return network


def _recite(network: Any, language: int, script: list[int], end: int) -> None:
    import torch

    decoder = network.model.decoder
    with torch.no_grad():
        embedding = torch.nn.functional.normalize(torch.randn(decoder.embed_tokens.weight.shape), dim=1)
        decoder.embed_tokens.weight.copy_(embedding)
        positions = torch.zeros(448, network.config.d_model)
        positions[0] = 60 * embedding[language]  # after <|startoftranscript|> the library asks for the language
        for index in range(2, 448):  # <|language|> and <|transcribe|> are given
            token = script[index - 2] if index - 2 < len(script) else end
            positions[index] = 60 * embedding[token]
        decoder.embed_positions.weight.copy_(positions)
        silenced = [[layer.self_attn.out_proj, layer.encoder_attn.out_proj, layer.fc2] for layer in decoder.layers]
        for index, linear in enumerate(itertools.chain.from_iterable(silenced)):
            linear.weight.fill_((index + 1) * 1e-6)  # all but nothing; the converter stores equal tensors once
            linear.bias.zero_()
        decoder.layer_norm.weight.fill_(3.0)
    network.proj_out.weight = decoder.embed_tokens.weight
