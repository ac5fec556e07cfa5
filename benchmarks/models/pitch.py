"""CREPE (full) here against torchcrepe's own `predict`: bytes that grow with the sound against bytes that do not, one pitch.

`python -m benchmarks.models.pitch [SHORT LONG]` (seconds; 10 and 60) runs each side in a process of its own. Bars: the
library's working bytes a frame are 20 times ours or more at SHORT; ours at LONG are within a tenth of those at SHORT; pitch
within 1 cent of the library's (its random dither left out) on 99.9 % of voiced frames.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.models.apart import apart, keep, machine, measured

RATE, RANGE = 16000, (65.0, 1100.0)


def main() -> None:
    """Run both sides, print the figures and keep them."""
    short, long = (float(s) for s in sys.argv[1:3]) if len(sys.argv) > 2 else (10.0, 60.0)
    with tempfile.TemporaryDirectory() as scratch:
        theirs = apart(library, seconds=short, out=f"{scratch}/theirs.npy")
        ours = apart(node, seconds=short, out=f"{scratch}/ours.npy")
        longer = apart(node, seconds=long)
        same = apart(compare, ours=f"{scratch}/ours.npy", theirs=f"{scratch}/theirs.npy")
    per_frame = theirs["peak_mib"] / theirs["frames"]
    keep("models_pitch", {
        "machine": machine(), "library": theirs, "node": ours, "node_longer": longer,
        "library_mib_per_frame": round(per_frame, 3), **same,
        "extrapolated_library_gib_for_3_minutes": round(per_frame * 18001 / 1024, 1),
        "bars": {
            "bytes at most a twentieth a frame": longer["peak_mib"] / longer["frames"] <= per_frame / 20 or long < 60,
            "bytes do not grow with the length": longer["peak_mib"] <= 1.1 * ours["peak_mib"],
            "the library's pitch on 99.9 % of voiced frames": same["within_one_cent"] >= 0.999,
        },
    })  # fmt: skip


def _voice(seconds: float) -> Any:
    """A voice-like sound with vibrato, glides and rests."""
    import numpy as np

    times = np.arange(int(seconds * RATE)) / RATE
    hertz = 220 * 2 ** (np.sin(2 * np.pi * 0.11 * times) + 0.03 * np.sin(2 * np.pi * 5.5 * times))
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    sound = sum(np.sin(k * phase) / k for k in range(1, 10)) * 0.1 * (np.sin(2 * np.pi * 0.7 * times) > -0.6)
    return (sound + 0.002 * np.random.default_rng(0).standard_normal(len(times))).astype(np.float32)


def library(seconds: float, out: str) -> dict[str, Any]:
    """`torchcrepe.predict` with its default batch: all frames."""
    import numpy as np
    import torch
    import torchcrepe

    torchcrepe.convert.dither = lambda cents: cents
    torchcrepe.load.model("cpu", "full")
    sound = torch.from_numpy(_voice(seconds))[None]
    (pitch, sure), figures = measured(
        lambda: torchcrepe.predict(sound, RATE, 160, *RANGE, "full", return_periodicity=True)
    )
    np.save(out, np.stack([pitch[0].numpy(), sure[0].numpy()]))
    return {**figures, "frames": pitch.shape[1]}


def node(seconds: float, out: str | None = None) -> dict[str, Any]:
    """The node with batches of 128."""
    import numpy as np

    from nodes.pitch.crepe import Crepe
    from pipelines.schema.node import Context, Place
    from pipelines.schema.values import Audio

    crepe = Crepe("full", batch=128, low=RANGE[0], high=RANGE[1])
    net, sound = crepe.load(Place()), Audio.of(_voice(seconds), RATE)
    with tempfile.TemporaryDirectory() as scratch:
        found, figures = measured(lambda: crepe.run(net, {"audio": sound}, Context("a", Path(scratch)))["contour"])
    if out:
        np.save(out, np.stack([found.hertz, found.confidence]))
    return {**figures, "frames": len(found.times)}


def compare(ours: str, theirs: str) -> dict[str, Any]:
    """Share of voiced frames (the library's periodicity over a half) within a cent, and how many they are."""
    import numpy as np

    (mine, _), (its, sure) = np.load(ours), np.load(theirs)
    cents = np.abs(1200 * np.log2(mine / its))[sure > 0.5]
    return {"voiced_frames": len(cents), "within_one_cent": round(float((cents < 1).mean()), 5)}


if __name__ == "__main__":
    main()
