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


def _write_th(net, folder, signature):
    from demucs.states import get_state, save_with_checksum

    args, kwargs = net._init_args_kwargs
    package = {
        "klass": type(net),
        "args": args,
        "kwargs": kwargs,
        "state": get_state(net, None, half=True),
        "training_args": {},
    }
    save_with_checksum(package, folder / f"{signature}.th")


def _write_safetensors(net, folder, signature):
    from safetensors.torch import save_file

    args, kwargs = net._init_args_kwargs
    said = {"klass": "demucs.htdemucs.HTDemucs", "args": _json(list(args)), "kwargs": _json(kwargs)}
    save_file(
        {k: v.contiguous().clone() for k, v in net.state_dict().items()}, str(folder / f"{signature}.safetensors"), said
    )


def _json(value):
    def fraction(part):
        return {"_type": "fraction", "numerator": part.numerator, "denominator": part.denominator}

    return json.dumps(value, default=fraction)
