"""Puts each spoken line where the original was said, faster where it would not end in time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nodes.audio.reading import checked
from nodes.audio.writing import wav_writer
from nodes.dub.stretch import stretched
from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Context, Inputs, Outputs, Plain, Port
from pipelines.schema.values import Audio, Word, Words

if TYPE_CHECKING:
    from pipelines.schema.values import Samples

#: Seconds kept free before the next line, and the level under which the edges of a line count as silence.
_GAP, _SILENCE = 0.05, 1e-3


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a line goes: its first frame and how many frames it may fill, at the speech's rate."""

    start: int
    frames: int


class Fit(Plain):
    """Fits spoken lines into the times of the original ones.

    Takes `speech` (any rate and channels), `spoken` and `lines` (one word for each line) and `audio` for its length; gives `audio`,
    float32 [1, frames] at the rate of the speech.
    Licence: Apache-2.0 (this project). Figures: none; a line is in memory at a time.

    fastest: how much quicker than spoken a line may be said, 1 to 3 (1.6 is still clear). A line that would need more runs over,
    moves the next one, and is named in a warning. Lines that are short enough are never slowed.
    """

    inputs: ClassVar[Mapping[str, Port]] = {
        "speech": Port("audio", "all lines as they were spoken"),
        "spoken": Port("words", "when each line is said in the speech"),
        "lines": Port("words", "when each line is to be said"),
        "audio": Port("audio", "the original, for its length", optional=True),
    }
    outputs: ClassVar[Mapping[str, Port]] = {
        "audio": Port("audio", "the lines in place, mono, as long as the original")
    }

    def __init__(self, fastest: float = 1.6) -> None:
        if not 1 <= fastest <= 3:
            raise ValueError(f"fastest {fastest} must be 1 to 3.")
        self.fastest = fastest

    def run(self, model: None, inputs: Inputs, context: Context) -> Outputs:
        """`audio` in a file of the task's folder. Raises `TaskFailed` for no speech, NaN, or another number of lines."""
        import numpy as np

        speech, spoken, lines = inputs["speech"], inputs["spoken"], inputs["lines"]
        assert isinstance(speech, Audio)
        assert isinstance(spoken, Words)
        assert isinstance(lines, Words)
        if len(spoken.words) != len(lines.words):
            raise TaskFailed(
                f"{len(spoken.words)} lines were spoken for {len(lines.words)} that are to be fitted. Join `spoken` to the "
                "speak node's `words` and `lines` to the node that gave it the text."
            )
        if not speech.frames:
            raise TaskFailed("The speech to fit is empty. Check the step before.")
        original = inputs.get("audio")
        total = round(original.seconds * speech.rate) if isinstance(original, Audio) else 0
        path, at = context.folder / "fitted.wav", 0
        with wav_writer(path, speech.rate, 1) as out:
            for start, samples in self._placed(speech, spoken, lines, total, context):
                _write_zeros(out, start - at)
                out.write(np.asarray(samples))
                at = start + len(samples)
            _write_zeros(out, total - at)
        return {"audio": Audio.open(path)}

    def _placed(
        self, speech: Audio, spoken: Words, lines: Words, total: int, context: Context
    ) -> Iterator[tuple[int, Samples]]:
        """(first frame, samples) of each line, in order and not overlapping."""
        free, late = 0, []
        for index, (slot, word) in enumerate(zip(_slots(lines, speech.rate, total), spoken.words, strict=True)):
            samples = _spoken_line(speech, word)
            start = max(slot.start, free)
            room = max(slot.start + slot.frames - start, 1)
            frames = min(len(samples), max(room, round(len(samples) / self.fastest)))
            if frames > room:
                late.append(lines.words[index].text)
            yield start, stretched(samples, speech.rate, frames)
            free = start + frames
            context.progress((index + 1) / len(lines.words))
        if late:
            context.warn(
                f"{len(late)} lines are too long for their time and run over, the first {late[0]!r}. Shorten them."
            )


def _slots(lines: Words, rate: int, total: int) -> Iterator[Slot]:
    """Each line may last until the next begins; the last until the end, or as long as it likes where there is none."""
    starts = [round(line.start * rate) for line in lines.words]
    gap = round(_GAP * rate)
    ends = [*(start - gap for start in starts[1:]), total or 1 << 62]
    return (Slot(start, max(end - start, 1)) for start, end in zip(starts, ends, strict=True))


def _spoken_line(speech: Audio, word: Word) -> Samples:
    """A line of the speech, mono, without the silence at its edges; no samples for one of no length."""
    import numpy as np

    start, stop = round(word.start * speech.rate), min(round(word.end * speech.rate), speech.frames)
    if start >= stop:
        return np.zeros(0, np.float32)
    return _trimmed(checked(speech, "The speech", start, stop).mean(axis=0))


def _trimmed(samples: Samples) -> Samples:
    """Without the silence at its edges."""
    import numpy as np

    loud = np.flatnonzero(np.abs(samples) > _SILENCE)
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples[:0]


def _write_zeros(out: object, frames: int) -> None:
    import numpy as np

    block = 1 << 18
    for start in range(0, frames, block):
        out.write(np.zeros(min(block, frames - start), np.float32))  # type: ignore[attr-defined]
