"""CREPE (full) here against torchcrepe's own `predict`: bytes that grow with the sound against bytes that do not, one pitch.

`python -m benchmarks.models pitch`. torchcrepe's default is one batch of all frames, its random dither is left out; ours
are batches of 128. The pitch is compared where the library's periodicity is above a half.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.models.apart import apart, measured

RATE, RANGE = 16000, (65.0, 1100.0)
#: Seconds of sound that both sides get, and that ours gets again.
SHORT, LONG = 10.0, 60.0


def run(quick: bool) -> dict[str, Any]:
    """Both sides at SHORT, ours at LONG too, and how often they agree."""
    long = SHORT * 2 if quick else LONG
    with tempfile.TemporaryDirectory() as scratch:
        theirs = apart(library, seconds=SHORT, out=f"{scratch}/theirs.npy")
        ours = apart(node, seconds=SHORT, out=f"{scratch}/ours.npy")
        longer = apart(node, seconds=long)
        same = apart(compare, ours=f"{scratch}/ours.npy", theirs=f"{scratch}/theirs.npy")
    each, mine = (side["peak_mib"] / side["frames"] for side in (theirs, longer))
    grown = longer["peak_mib"] / ours["peak_mib"]
    alike = same["within_one_cent"]
    return {
        "seconds_of_sound": {"short": SHORT, "long": long}, "library": theirs, "node": ours, "node_longer": longer, **same,
        "library_mib_per_frame": round(each, 3), "node_longer_mib_per_frame": round(mine, 4),
        "extrapolated_library_gib_for_3_minutes": round(each * 18001 / 1024, 1),
        "bars": {
            f"{long:g} s take {grown:.2f} of the bytes of {SHORT:g} s (at most 1.1; the library {each:.2f} MiB a frame)": grown <= 1.1,
            f"the library's pitch within 1 cent on {alike:.2%} of voiced frames (at least 99.9 %)": alike >= 0.999,
        },
    }  # fmt: skip


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
