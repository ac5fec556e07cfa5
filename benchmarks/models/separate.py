"""Demucs here against demucs' own API: vocals in a quarter of the work, a segment that moves memory, RAM no length moves.

`python -m benchmarks.models separate` makes a htdemucs_ft folder of real size with random weights.
"""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

from benchmarks.models.apart import apart, measured

RATE = 44100
#: Seconds of the clip. A network pads it to its segment, so a longer one costs more and shows the same.
CLIP = 2.0


def run(quick: bool) -> dict[str, Any]:
    """Both sides on a clip of real size; RAM over length with a tiny network, whose own bytes do not hide what grows."""
    lengths = (15, 30) if quick else (30, 120)
    with tempfile.TemporaryDirectory() as scratch:
        apart(make, folder=f"{scratch}/real", tiny=False)
        apart(make, folder=f"{scratch}/tiny", tiny=True)
        theirs = apart(library, folder=f"{scratch}/real", seconds=CLIP, keep_at=f"{scratch}/theirs.npy")
        ours = apart(node, folder=f"{scratch}/real", seconds=CLIP, keep_at=f"{scratch}/ours.npy")
        short = apart(node, folder=f"{scratch}/real", seconds=CLIP, segment=2.0)
        held = {s: apart(tensors, folder=f"{scratch}/real", segment=s) for s in (7.8, 2.0)}
        long = {
            f"{side.__name__}_{length}": apart(side, folder=f"{scratch}/tiny", seconds=length)["peak_mib"]
            for side in (library, node)
            for length in lengths
        }
        difference = apart(compare, a=f"{scratch}/ours.npy", b=f"{scratch}/theirs.npy")["difference"]
    faster, share = theirs["processor_seconds"] / ours["processor_seconds"], held[2.0]["bytes"] / held[7.8]["bytes"]
    ram = short["peak_mib"] / ours["peak_mib"]
    growth = {
        s: (long[f"{s}_{lengths[1]}"] - long[f"{s}_{lengths[0]}"]) / (lengths[1] - lengths[0])
        for s in ("library", "node")
    }
    return {
        "clip_seconds": CLIP, "library": theirs, "node": ours, "node_segment_2s": short,
        "times_faster": round(faster, 2), "largest_difference": difference, "tensor_bytes": held,
        "ram_mib_tiny_network": long, "ram_mib_per_second": {side: round(rate, 3) for side, rate in growth.items()},
        "bars": {
            f"htdemucs_ft: vocals {faster:.1f} times faster than demucs.api, in processor time (at least 3.5)": faster >= 3.5,
            f"the same samples: {difference:.1e} apart (at most 1e-6)": difference <= 1e-6,
            f"a segment of 2 s takes {share:.3f} of the device's bytes of 7.8 s (at most 0.3; of RAM {ram:.3f})": share <= 0.3,
            f"RAM grows {growth['node']:.2f} MiB a second of sound (at most a tenth of the library's {growth['library']:.2f})":
                growth["node"] <= growth["library"] / 10,
        },
    }  # fmt: skip


def make(folder: str, tiny: bool) -> dict[str, Any]:
    """Write the model folder."""
    from tests.checkpoints.demucs import REAL, TINY, make_demucs

    made = make_demucs(Path(folder), sizes=TINY if tiny else REAL, segment=Fraction(39, 5))
    return {"bytes": sum(path.stat().st_size for path in made.iterdir())}


def _sound(seconds: float) -> Any:
    import numpy as np

    return (0.1 * np.random.default_rng(0).standard_normal((2, int(seconds * RATE)))).astype(np.float32)


def library(folder: str, seconds: float, keep_at: str | None = None) -> dict[str, Any]:
    """Vocals by demucs' own API, which has no way to ask for less than every stem."""
    import numpy as np
    import torch
    from demucs.api import Separator

    separator = Separator("htdemucs_ft", Path(folder), device="cpu", shifts=0)
    mix = torch.from_numpy(_sound(seconds))
    separator.separate_tensor(torch.from_numpy(_sound(0.5)), RATE)  # imports what it imports on first use
    vocals, figures = measured(lambda: separator.separate_tensor(mix, RATE)[1]["vocals"])
    if keep_at:
        np.save(keep_at, vocals.numpy())
    return figures


def node(folder: str, seconds: float, segment: float = 7.8, keep_at: str | None = None) -> dict[str, Any]:
    """Vocals (and the instrumental) by the node."""
    import numpy as np

    from nodes.separate.demucs import Demucs
    from pipelines.schema.node import Context, Place
    from pipelines.schema.values import Audio

    separate = Demucs("htdemucs_ft", segment=segment)
    bag, mix = separate.load(Place(weights=Path(folder))), Audio.of(_sound(seconds), RATE)
    with tempfile.TemporaryDirectory() as scratch:
        context = Context("clip", Path(scratch))
        separate.run(bag, {"audio": Audio.of(_sound(0.5), RATE)}, context)  # imports what it imports on first use
        stems, figures = measured(lambda: separate.run(bag, {"audio": mix}, context))
        if keep_at:
            np.save(keep_at, stems["vocals"].read())
    return figures


def tensors(folder: str, segment: float) -> dict[str, Any]:
    """The most bytes of tensors a run holds on a device, by the simulated one, which counts them."""
    from dataclasses import replace

    from benchmarks.models.apart import declared
    from pipelines.footprints.measurement import Size, measure

    variant = declared("separate", "htdemucs_ft")
    variant = replace(variant, knobs={**variant.knobs, "segment": segment})
    device = {"spec": "simulated", "total": 8 << 30}
    took = measure(variant, [Size(CLIP, channels=2)], weights=Path(folder), device=device)
    return {"bytes": next(row.bytes for row in took.observations if row.op == "run"), "source": took.source}


def compare(a: str, b: str) -> dict[str, Any]:
    """The largest difference of two arrays."""
    import numpy as np

    return {"difference": float(np.abs(np.load(a) - np.load(b)).max())}
