"""Demucs model folders in the library's genuine formats: a bag of one specialist a stem, weights random, sizes tiny or real."""

import json
from fractions import Fraction

STEMS = ["drums", "bass", "other", "vocals"]
TINY = {
    "channels": 8,
    "depth": 4,
    "bottom_channels": 32,
    "t_layers": 1,
    "t_heads": 2,
    "t_hidden_scale": 1.0,
    "dconv_depth": 1,
    "dconv_comp": 4,
}
#: As published (the segment is 7.8 s).
REAL = {
    "channels": 48,
    "depth": 4,
    "bottom_channels": 512,
    "t_layers": 5,
    "t_heads": 8,
    "dconv_depth": 2,
    "dconv_comp": 8,
}
SIGNATURES = ["tiny0000", "tiny0001", "tiny0002", "tiny0003"]


def make_network(seed=0, sizes=None, segment=Fraction(2), rate=44100):
    """A HTDemucs with random weights."""
    import torch
    from demucs.htdemucs import HTDemucs

    torch.manual_seed(seed)
    return HTDemucs(sources=STEMS, segment=segment, samplerate=rate, **(sizes or TINY)).eval()


def make_demucs(folder, form="th", sizes=None, segment=Fraction(2), rate=44100, stems=None):
    """Write `htdemucs_ft.yaml` (four specialists), `htdemucs.yaml` (one network) and `blend.yaml` (two, shared) into `folder`.

    form: `th` (half precision, its SHA-256 in its name) or `safetensors`. stems: which networks are written (all).
    """
    import yaml

    folder.mkdir(parents=True, exist_ok=True)
    for seed, signature in enumerate(SIGNATURES):
        if stems is None or STEMS[seed] in stems:
            write = _write_th if form == "th" else _write_safetensors
            write(make_network(seed, sizes, segment, rate), folder, signature)
    one_each = [[float(i == j) for j in range(4)] for i in range(4)]
    bags = {
        "htdemucs_ft": {"models": SIGNATURES, "weights": one_each},
        "htdemucs": {"models": SIGNATURES[:1]},
        "blend": {"models": SIGNATURES[:2], "weights": [[1.0, 1.0, 1.0, 3.0], [1.0, 1.0, 1.0, 1.0]]},
    }
    for name, bag in bags.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(bag))
    return folder


def take_the_middle(net):
    """Change a tiny network's weights so that its vocals are the mean of both channels and nothing else reaches them.

    The outermost layers of the time branch carry four samples a frame, each as a pair of signs, for gelu(x) - gelu(-x) = x.
    """
    import torch

    encoder, decoder = net.tencoder[0], net.tdecoder[-1]
    width, vocals = encoder.conv.out_channels, 2 * STEMS.index("vocals")
    with torch.no_grad():
        for part in (encoder.conv, decoder.conv_tr, net.tdecoder[-2].conv_tr, net.decoder[-1].conv_tr):
            part.weight.zero_()
            part.bias.zero_()
        for part in (encoder, decoder):
            part.rewrite.weight.zero_()
            part.rewrite.weight[:width, :, part.rewrite.kernel_size[0] // 2] = torch.eye(width)
            part.rewrite.bias.copy_(torch.tensor([0.0, 20.0]).repeat_interleave(width))
            for name, weight in part.named_parameters():
                if name.endswith(".scale"):
                    weight.zero_()  # of what it would add to itself
        for channel in range(8):
            tap, sign = encoder.pad + channel // 2, 1.0 - 2.0 * (channel % 2)
            encoder.conv.weight[channel, :, tap] = sign / 2
            decoder.conv_tr.weight[channel, vocals : vocals + 2, tap] = sign
    return net


def make_bag(folder, name, networks):
    """Write one bag as its hub repository has it: `name.yaml` and `SIGNATURE.safetensors` with a seed each, None for one left out.

    Its vocals are the middle of the mix, so that what follows in a pipeline has something to hear.
    """
    import yaml

    folder.mkdir(parents=True, exist_ok=True)
    for signature, seed in networks.items():
        if seed is not None:
            _write_safetensors(take_the_middle(make_network(seed)), folder, signature)
    each = [[float(i == j) for j in range(len(STEMS))] for i in range(len(networks))]
    (folder / f"{name}.yaml").write_text(
        yaml.safe_dump({"models": list(networks)} | ({"weights": each} if len(networks) > 1 else {}))
    )
    return folder


def _write_th(net, folder, signature):
    import numpy as np
    from demucs.states import get_state, save_with_checksum

    args, kwargs = net._init_args_kwargs
    package = {
        "klass": type(net),
        "args": args,
        "kwargs": kwargs,
        "state": get_state(net, None, half=True),
        "training_args": {},
        "metrics": ({"loss": 0.1}, {"sdr": np.float64(9.0), "nsdr": np.float32(8.8)}),  # as the library's export adds
    }
    save_with_checksum(package, folder / f"{signature}.th")


def _write_safetensors(net, folder, signature):
    from safetensors.torch import save_file

    args, kwargs = net._init_args_kwargs
    message = {"klass": "demucs.htdemucs.HTDemucs", "args": _json(list(args)), "kwargs": _json(kwargs)}
    save_file(
        {k: v.contiguous().clone() for k, v in net.state_dict().items()},
        str(folder / f"{signature}.safetensors"),
        message,
    )


def _json(value):
    def fraction(part):
        return {"_type": "fraction", "numerator": part.numerator, "denominator": part.denominator}

    return json.dumps(value, default=fraction)
