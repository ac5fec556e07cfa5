"""Sound as nodes want it: checked, in as many channels as they take, at a known rate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Context, Inputs
from pipelines.schema.values import Audio

if TYPE_CHECKING:
    from pipelines.schema.values import Samples


def voice_of(inputs: Inputs, context: Context) -> Audio | None:
    """The reference voice: what is joined to the port `voice`, else the recording the item's setting `voice` names."""
    joined, named = inputs.get("voice"), context.settings.get("voice")
    if joined is not None:
        assert isinstance(joined, Audio)
        return joined
    if not named:
        return None
    try:
        return Audio.open(Path(str(named)).expanduser())
    except (RuntimeError, OSError) as error:
        raise TaskFailed(
            f"The reference voice {named} cannot be read: {error}. Give voice= a sound file that plays."
        ) from error


def checked_mono(audio: Audio, what: str, rate: int | None = None, seconds: float | None = None) -> Samples:
    """The first `seconds` of `audio`, channels averaged, float32 [frames] at `rate` Hz (its own where None).

    Raises `TaskFailed`, naming `what`, where it cannot be read, has no samples, or has samples that are not numbers.
    """
    samples = checked(audio, what, 0, None if seconds is None else int(seconds * audio.rate)).mean(axis=0)
    return resampled(samples, audio.rate, rate) if rate else samples


def mono_blocks(audio: Audio, what: str, rate: int, seconds: float = 10.0) -> Iterator[Samples]:
    """All of `audio` as `checked_mono` gives it, float32 [frames] at `rate` Hz, in pieces of about `seconds`.

    Only a piece is in memory at a time; joined they are the same whatever `seconds` is. Raises as `checked_mono` does.
    """
    return (block[0] for block in resampled_blocks(audio, what, rate, 1, seconds))


def resampled_blocks(audio: Audio, what: str, rate: int, channels: int, seconds: float) -> Iterator[Samples]:
    """The same with `channels` channels, [channels, frames]: to one all are averaged; one is repeated; more are folded."""
    import numpy as np
    import soxr

    stream = None if audio.rate == rate else soxr.ResampleStream(audio.rate, rate, channels, dtype="float32")
    size = max(int(seconds * audio.rate), 1)
    for start in range(0, max(audio.frames, 1), size):
        samples = checked(audio, what, start, start + size)
        samples = samples.mean(axis=0, keepdims=True) if channels == 1 else folded(samples)
        shaped: Samples = np.ascontiguousarray(np.resize(samples, (channels, samples.shape[1])))
        yield shaped if stream is None else stream.resample_chunk(shaped.T, last=start + size >= audio.frames).T


def checked(audio: Audio, what: str, start: int = 0, stop: int | None = None) -> Samples:
    """Frames [start, stop) of `audio` as they are, float32 [channels, n].

    Raises `TaskFailed`, naming `what`, where it cannot be read, is empty, or has samples that are not numbers.
    """
    import numpy as np

    try:
        samples = audio.read(start, stop)
    except (RuntimeError, OSError) as error:
        raise TaskFailed(f"{what} cannot be read: {error}. Give a sound file that plays.") from error
    if not audio.frames or not samples.size:
        raise TaskFailed(f"{what} has no samples in it. Give a recording that is not empty.")
    if not np.isfinite(samples).all():
        raise TaskFailed(f"{what} has samples that are not numbers (NaN or infinite). Export it again as plain PCM.")
    return samples


def folded(samples: Samples) -> Samples:
    """`samples` [channels, n] in at most two channels: of film sound, the front, the centre (where the talk is) and the back of
    either side averaged, without the low-frequency channel. The order is that of WAV files."""
    import numpy as np

    count = len(samples)
    if count <= 2:
        return samples
    rest = list(range(3 if count < 6 else 4, count))
    sides = ([0, 2], [1, 3]) if count == 4 else ([0, 2, *rest[::2]], [1, 2, *rest[1::2]])
    return np.stack([samples[side].mean(axis=0) for side in sides])


def resampled(samples: Samples, rate: int, target: int) -> Samples:
    """`samples` [frames] at `rate` Hz as float32 at `target` Hz."""
    import numpy as np
    import soxr

    if rate == target:
        return np.asarray(samples, np.float32)
    return np.asarray(soxr.resample(samples, rate, target), np.float32)


def is_silent(samples: Samples) -> bool:
    """Whether nothing in it is above -60 dB of full scale."""
    import numpy as np

    return bool(np.abs(samples).max(initial=0.0) < 1e-3)
