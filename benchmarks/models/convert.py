"""RVC at its real size (v2, 48 kHz) with random weights: bytes, time and samples against infer-rvc-python.

`HEADROOM_RVC_REFERENCE=DIR python -m benchmarks.models convert`; DIR is as tests/nodes/convert/test_rvc_reference.py says.
Without it only our side is measured, and the bars that need both are left out.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.models.apart import apart, measured

#: Seconds of sound that both sides get, and that ours gets with a tiny network, whose own bytes do not hide what grows.
SHORT, LONG = 60.0, 240.0
#: A published v2 voice at 48 kHz, as its checkpoint's `config` says it.
CONFIG = [
    1025, 32, 192, 192, 768, 2, 6, 3, 0, "1", [3, 7, 11], [[1, 3, 5]] * 3, [12, 10, 2, 2], 512, [24, 20, 4, 4], 109, 256, 48000,
]  # fmt: skip


def run(quick: bool) -> dict[str, Any]:
    """Both sides at SHORT with the real sizes; ours from SHORT to LONG with tiny ones. Quick: a tenth, for which no bar was set."""
    short, long = (SHORT / 10, LONG / 10) if quick else (SHORT, LONG)
    found: dict[str, Any] = {"seconds_of_sound": short, "bars": {}}
    with tempfile.TemporaryDirectory() as folder:
        apart(make_real, folder=folder)
        found["node"] = apart(ours, folder=folder, seconds=short, out=f"{folder}/ours.npy")
        if os.environ.get("HEADROOM_RVC_REFERENCE"):
            found["library"] = apart(reference, folder=folder, seconds=short, out=f"{folder}/reference.npy")
            found |= apart(compare, ours=f"{folder}/ours.npy", theirs=f"{folder}/reference.npy")
    with tempfile.TemporaryDirectory() as folder:
        apart(make_tiny, folder=folder)
        found["tiny_network"] = {
            f"node_{s:g}": apart(ours, folder=folder, seconds=s, out=f"{folder}/ours.npy") for s in (short, long)
        }
    first, last = (row["peak_mib"] for row in found["tiny_network"].values())
    found["ram_mib_per_second"] = round((last - first) / (long - short), 3)
    return found if quick else found | {"bars": _bars(found)}


def _bars(found: dict[str, Any]) -> dict[str, bool]:
    rate, takes = found["ram_mib_per_second"], found["node"]["peak_mib"]
    more = rate * SHORT / takes
    bars = {f"RAM grows {rate} MiB a second: a minute more takes {more:.0%} more (at most 10 %)": more <= 0.1}
    if "library" in found:
        share = takes / found["library"]["peak_mib"]
        bars[f"{SHORT:g} s take {share:.2f} of infer-rvc-python's bytes (at most 0.5)"] = share <= 0.5
        bars[f"the same samples: {found['differs']:.1e} apart (at most 1e-3)"] = found["differs"] <= 1e-3
    return bars


def make_tiny(folder: str) -> dict[str, Any]:
    """The tests' tiny checkpoints."""
    from tests.checkpoints.rvc import make_rvc

    make_rvc(Path(folder))
    return {}


def make_real(folder: str) -> dict[str, Any]:
    """A voice, HuBERT base and RMVPE of the published sizes."""
    import torch
    from transformers import HubertConfig, HubertModel

    from tests.checkpoints.rvc import make_rmvpe, make_rvc

    place = Path(folder)
    torch.manual_seed(0)
    HubertModel(HubertConfig(classifier_proj_size=256)).eval().save_pretrained(place / "hubert")
    make_rmvpe(place / "rmvpe.pt", channels=16)
    make_rvc(place, config=CONFIG)
    return {}


def ours(folder: str, seconds: float, out: str) -> dict[str, Any]:
    import numpy as np

    from nodes.convert.rvc import Rvc
    from pipelines.schema.node import Context, Place
    from pipelines.schema.values import Audio

    node = Rvc(index=0.0, envelope=1.0)
    node.load(Place("cpu", Path(folder)))  # imports what it imports on first use
    model, load = measured(lambda: node.load(Place("cpu", Path(folder))))
    audio = Audio.of(sound(seconds), 16000)
    context = Context("a", Path(folder) / "task", seed=3)
    node.run(model, {"audio": Audio.of(sound(1.0), 16000)}, context)  # imports what it imports on first use, as below
    made, cost = measured(lambda: node.run(model, {"audio": audio}, context))
    np.save(out, made["audio"].data[0])
    return {**cost, "load": load}


def reference(folder: str, seconds: float, out: str) -> dict[str, Any]:
    sys.path.append(os.environ["HEADROOM_RVC_REFERENCE"])
    import numpy as np
    import torch
    from infer_rvc_python.main import BaseLoader

    loader = BaseLoader(only_cpu=True, hubert_path=f"{folder}/hubert", rmvpe_path=f"{folder}/rmvpe.pt")
    settings = {"file_index": "", "index_influence": 0, "respiration_median_filtering": 3, "envelope_ratio": 1.0}
    loader.apply_conf(
        tag="v",
        file_model=f"{folder}/voice.pth",
        pitch_algo="rmvpe",
        pitch_lvl=0,
        consonant_breath_protection=0.33,
        **settings,
    )
    loader.generate_from_cache(
        audio_data=(sound(1.0), 16000), tag="v", reload=False
    )  # loads what it loads on first use
    torch.manual_seed(3)
    torch.rand = torch.zeros  # a random phase that it draws and then sets to zero
    made, cost = measured(lambda: loader.generate_from_cache(audio_data=(sound(seconds), 16000), tag="v", reload=False))
    np.save(out, np.asarray(made[0], np.float32) / 32768)
    return cost


def sound(seconds: float) -> Any:
    """A sung-like tone that glides, in float32 at 16,000 Hz."""
    import numpy as np

    times = np.arange(int(seconds * 16000)) / 16000
    phase = 2 * np.pi * np.cumsum(200 + 60 * np.sin(2 * np.pi * 0.3 * times)) / 16000
    return (
        0.2 * sum(np.sin(k * phase) / k for k in range(1, 8)) * (0.6 + 0.4 * np.sin(2 * np.pi * 1.7 * times))
    ).astype(np.float32)


def compare(ours: str, theirs: str) -> dict[str, Any]:
    """The largest difference of two sounds, over what both have."""
    import numpy as np

    mine, its = np.load(ours), np.load(theirs)
    common = min(len(mine), len(its))
    return {
        "differs": float(np.abs(mine[:common] - its[:common]).max()),
        "samples": {"node": len(mine), "library": len(its)},
    }
