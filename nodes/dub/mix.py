"""Speech over an instrumental that is lowered while somebody speaks, mixed block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from nodes.audio.forward_reader import ForwardReader
from nodes.audio.reading import checked
from nodes.audio.writing import wav_writer
from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Context, Inputs, Outputs, Plain, Port
from pipelines.schema.values import Audio

if TYPE_CHECKING:
    from pipelines.schema.values import Samples

#: Frames of the gain a second, seconds it takes to fall and to rise fully, and the level that counts as speech.
_STEPS, _FALL, _RISE, _SPEECH = 50, 0.1, 0.6, 0.01


class Mix(Plain):
    """Mixes speech over an instrumental, which is lowered while somebody speaks.

    Takes `speech` and `instrumental`, at any rate and in any channels; gives `audio`, float32 at the rate and in the channels of the
    instrumental, as long as the longer of both. Where the sum would pass full scale, all of it is lowered evenly.
    Licence: Apache-2.0 (this project). Figures: none; some seconds are in memory at a time.

    speech, music: gains, -60 to 30 dB.
    duck: how much the music is lowered by while there is speech, 0 to 60 dB.
    """

    inputs: ClassVar[Mapping[str, Port]] = {
        "speech": Port("audio", "what is said, in its place"),
        "instrumental": Port("audio", "the music"),
    }
    outputs: ClassVar[Mapping[str, Port]] = {
        "audio": Port("audio", "both, at the rate and channels of the instrumental")
    }

    def __init__(self, speech: float = 0.0, music: float = 0.0, duck: float = 6.0) -> None:
        if not 0 <= duck <= 60 or not -60 <= speech <= 30 or not -60 <= music <= 30:
            raise ValueError(f"duck {duck} must be 0 to 60 dB, speech {speech} and music {music} -60 to 30 dB.")
        self.speech, self.music, self.duck = (10 ** (x / 20) for x in (speech, music, -duck))

    def run(self, model: None, inputs: Inputs, context: Context) -> Outputs:
        """`audio` in a file of the task's folder, as long as the longer of both. Raises `TaskFailed` for an empty input or NaN."""
        speech, music = inputs["speech"], inputs["instrumental"]
        assert isinstance(speech, Audio)
        assert isinstance(music, Audio)
        if not music.frames or not speech.frames:
            raise TaskFailed("The speech or the instrumental is empty. Check the steps before.")
        seconds = max(music.seconds, speech.seconds)
        loudest = max(float(abs(block).max()) for block in self._blocks(speech, music))
        path = context.folder / "mixed.wav"
        with wav_writer(path, music.rate, music.channels) as out:
            for index, block in enumerate(self._blocks(speech, music)):
                out.write(block.T / max(loudest, 1.0))
                context.progress(min((index + 1) / seconds, 1.0))
        return {"audio": Audio.open(path)}

    def _blocks(self, speech: Audio, music: Audio) -> Iterator[Samples]:
        """The sum, a second at a time, float32 [channels, n]."""
        import numpy as np

        rate, gain = music.rate, 1.0
        total = max(music.frames, round(speech.seconds * rate))
        voice = ForwardReader(speech, "The speech", rate, 1)
        for start in range(0, total, rate):
            frames = min(rate, total - start)
            spoken = voice.read(start, frames)[0] * self.speech
            stop = min(start + frames, music.frames)
            played = (
                checked(music, "The instrumental", start, stop)
                if start < stop
                else np.zeros((music.channels, 0), np.float32)
            )
            played = np.pad(played, ((0, 0), (0, frames - played.shape[1]))) * self.music
            curve, gain = self._gains(spoken, rate, gain)
            yield (played * curve + spoken).astype(np.float32)

    def _gains(self, spoken: Samples, rate: int, gain: float) -> tuple[Samples, float]:
        """The music's gain for each frame, going on from `gain`, and where it ends."""
        import numpy as np

        step = rate // _STEPS
        knots = [gain]
        for at in range(0, len(spoken), step):
            speaking = np.abs(spoken[at : at + step]).max() > _SPEECH
            change = (1 - self.duck) / _STEPS
            gain = max(gain - change / _FALL, self.duck) if speaking else min(gain + change / _RISE, 1.0)
            knots.append(gain)
        curve = np.interp(np.arange(len(spoken)), np.minimum(np.arange(len(knots)) * step, len(spoken)), knots)
        return curve.astype(np.float32), gain
