"""Sound as nodes want it: one channel, checked, at a known rate, cut where it is quiet. Not a node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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
    import soxr

    stream = None if audio.rate == rate else soxr.ResampleStream(audio.rate, rate, 1, dtype="float32")
    size = max(int(seconds * audio.rate), 1)
    for start in range(0, max(audio.frames, 1), size):
        samples: Samples = checked(audio, what, start, start + size).mean(axis=0)
        yield samples if stream is None else stream.resample_chunk(samples, last=start + size >= audio.frames)


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


def quiet_cuts(samples: Samples, rate: int, segment: float) -> list[int]:
    """Where to cut `samples` so that no piece is longer than `segment` seconds: 0, the quietest 20 ms of the last third of
    each piece, and the end. Depends only on what comes before the cut's reach, so the same sound is always cut alike."""
    longest, cuts = int(segment * rate), [0]
    while len(samples) - cuts[-1] > longest:
        cuts.append(cuts[-1] + _quietest(samples[cuts[-1] : cuts[-1] + longest], rate))
    return [*cuts, len(samples)]


def _quietest(samples: Samples, rate: int) -> int:
    """The middle of the quietest 20 ms in the last third of `samples`."""
    import numpy as np

    frame, first = max(int(0.02 * rate), 1), len(samples) * 2 // 3
    reach = samples[first:]
    frames = reach[: len(reach) // frame * frame].reshape(-1, frame)
    return first + int(np.argmin(np.abs(frames).sum(axis=1))) * frame + frame // 2


@dataclass(frozen=True, eq=False)
class Cut:
    """A piece of a sound: `samples` [n] are frames [start - lead, stop + what is heard behind it)."""

    samples: Samples
    lead: int
    start: int
    stop: int


def quiet_pieces(blocks: Iterable[Samples], rate: int, segment: float, around: float, first: float) -> Iterator[Cut]:
    """A sound that arrives in `blocks` [n], cut as `quiet_cuts` does it, each piece as soon as it and what is around it are there.

    No piece is longer than `segment` seconds, the first no longer than `first`, each up to half as long again as the one before,
    so that the first is there soon. Where the cuts are does not depend on the blocks. around: seconds of sound on either side.
    """
    held, begin, cut, length = _Held(iter(blocks)), 0, 0, min(first, segment)
    beside = int(around * rate)
    while held.fill(cut + 1):
        longest = int(length * rate)
        more = held.fill(cut + longest + 1)
        stop = cut + _quietest(held.samples[cut - begin : cut - begin + longest], rate) if more else held.end
        held.fill(stop + beside)
        yield Cut(held.samples[: stop + beside - begin], cut - begin, cut, stop)
        cut, length = stop, min(length * 1.5, segment)
        held.samples, begin = held.samples[max(cut - beside, 0) - begin :], max(cut - beside, 0)


class _Held:
    """What has arrived and is still needed. end: frames that have come in all."""

    def __init__(self, blocks: Iterator[Samples]) -> None:
        import numpy as np

        self._blocks, self.samples, self.end = blocks, np.zeros(0, np.float32), 0

    def fill(self, stop: int) -> bool:
        """Whether `stop` frames have come, after waiting for them."""
        import numpy as np

        while self.end < stop and (block := next(self._blocks, None)) is not None:
            self.samples, self.end = np.concatenate([self.samples, block]), self.end + len(block)
        return self.end >= stop
