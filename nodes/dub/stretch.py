"""Speech made shorter or longer without changing its pitch (WSOLA).

Frames of 40 ms are overlapped by half at the output. Each is taken from near where the tempo says it should be, at the place
within 10 ms where it looks most like what would have followed the frame before, so that periods join up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.schema.values import Samples


def stretched(samples: Samples, rate: int, frames: int) -> Samples:
    """`samples` [n] at `rate` Hz as float32 [frames], said faster or slower by n / frames. Same length returns a copy."""
    import numpy as np

    size, reach = int(0.04 * rate) // 2 * 2, int(0.01 * rate)
    half = size // 2
    if frames == len(samples) or len(samples) < size or frames < size:
        return np.resize(samples, frames) if frames <= len(samples) else np.pad(samples, (0, frames - len(samples)))
    window = np.hanning(size + 1)[:size]
    padded = np.pad(samples, (half + reach, size + reach + half))
    made = np.zeros(frames + 2 * size, np.float32)
    weight = np.zeros_like(made)
    follows = None
    for out in range(0, frames + half, half):
        wanted = round(out * len(samples) / frames) + reach
        at = wanted if follows is None else _most_alike(padded, follows, wanted, reach, size)
        at = min(at, len(padded) - size)
        made[out : out + size] += window * padded[at : at + size]
        weight[out : out + size] += window
        follows = min(at + half, len(padded) - size)
    result: Samples = (made / np.maximum(weight, 1e-3))[half : half + frames].astype(np.float32)
    return result


def _most_alike(sound: Samples, follows: int, wanted: int, reach: int, size: int) -> int:
    """The start within `reach` of `wanted` whose frame correlates best with the frame at `follows`."""
    import numpy as np

    first = max(wanted - reach, 0)
    area = sound[first : wanted + reach + size]
    model = sound[follows : follows + size]
    if len(area) < size or not model.any():
        return wanted
    scores = np.correlate(area, model, mode="valid")
    energy = np.convolve(area**2, np.ones(size), mode="valid")
    return first + int(np.argmax(scores / np.sqrt(energy + 1e-9)))
