"""Pitch as RVC wants it: Hz every 10 ms, 0 where unvoiced, by whichever tracker; and its 256 steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nodes.pitch.crepe import Crepe
from nodes.pitch.swift import Swift
from pipelines.schema.values import Audio, Contour

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nodes.convert.rvc.model import Loaded
    from pipelines.schema.node import Context
    from pipelines.schema.values import Samples

_RATE, _STEP, _LOW, _HIGH = 16000, 0.010, 50.0, 1100.0
#: Confidence under which a frame is unvoiced, by tracker.
_VOICED = {"crepe": 0.1, "swift_f0": 0.9}


def tracker(name: str) -> Crepe | Swift:
    """The node that tracks pitch; `rmvpe` has none, for only RVC uses it."""
    return (
        Crepe("full", batch=128, step=_STEP, low=_LOW, high=_HIGH) if name == "crepe" else Swift(low=_LOW, high=_HIGH)
    )


def hertz_of(name: str, model: Loaded, samples: Samples, context: Context) -> NDArray[np.float64]:
    """Hz of each frame of 10 ms of `samples` at 16,000 Hz, len(samples) // 160 of them or one more."""
    if name == "rmvpe":
        from nodes.convert.rvc.rmvpe import track

        return track(model.pitch, samples)
    from scipy.ndimage import median_filter

    contour = tracker(name).run(model.pitch, {"audio": Audio.of(samples, _RATE)}, context)["contour"]
    assert isinstance(contour, Contour)
    times = np.arange(1 + len(samples) // 160) * _STEP
    smooth = median_filter(contour.confidence, size=3, mode="nearest")
    voiced = _nearest(times, contour.times, smooth) >= _VOICED[name]
    hertz = 2 ** np.interp(times, contour.times, np.log2(contour.hertz))
    return np.where(voiced, hertz, 0.0)


def coarse(hertz: NDArray[np.float64]) -> NDArray[np.int64]:
    """1..255 evenly over the mel scale from 50 to 1,100 Hz; 1 also where unvoiced."""
    mel = 1127 * np.log1p(hertz / 700)
    low, high = (1127 * np.log1p(edge / 700) for edge in (_LOW, _HIGH))
    steps: NDArray[np.int64] = np.rint(np.clip((mel - low) * 254 / (high - low) + 1, 1, 255)).astype(np.int64)
    return steps


def _nearest(times: NDArray[Any], at: NDArray[np.float64], values: NDArray[Any]) -> NDArray[Any]:
    spacing = at[1] - at[0] if len(at) > 1 else 1.0
    nearest: NDArray[Any] = values[np.clip(np.rint((times - at[0]) / spacing).astype(int), 0, len(at) - 1)]
    return nearest
