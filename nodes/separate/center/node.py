"""The singing out of a stereo mix without a trained model: what sits in the middle, then what follows one voice's pitch.

In most mixes the voice is in the middle, and so are bass and drums. What both channels share is kept (a soft mask by the
ratio of middle to side in every bin of the spectrum), the likeliest melody in it is followed over the whole track, and a
comb around its harmonics takes bass and drums away. Two passes over the sound, a few seconds at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from nodes.audio.reading import folded
from nodes.separate.stems import write_stems
from pipelines.schema.node import Context, Inputs, Outputs, Plain, Port
from pipelines.schema.values import Audio

if TYPE_CHECKING:
    from nodes.separate.center.spectrum import Spectra, Spectrum
    from pipelines.schema.values import Samples

#: How strongly what differs between the channels is held against a bin.
_SIDE = 20.0


class Center(Plain):
    """Voice and rest by place and pitch.

    Takes `audio`, stereo at any rate (more channels are folded to two; of a mono mix only pitch tells the voice); gives `vocals`,
    float32 [1, frames], and `instrumental` [1 or 2, frames], both at the rate of the mix and as long as it.
    Licence: Apache-2.0 (this project); no weights. Figures: `conf/model/separate/center.yaml`.

    low, high: the range of the voice's pitch, 40 to 2000 Hz.
    floor: how much of the middle is kept between the voice's harmonics, 0 to 1.
    """

    inputs: ClassVar[Mapping[str, Port]] = {"audio": Port("audio", "the mix, stereo")}
    outputs: ClassVar[Mapping[str, Port]] = {
        "vocals": Port("audio", "the singing, mono, at the rate of the mix"),
        "instrumental": Port("audio", "the mix without it; the two sum to the mix"),
    }

    def __init__(self, low: float = 80.0, high: float = 1075.0, floor: float = 0.03) -> None:
        if not 40 <= low < high <= 2000 or not 0 <= floor <= 1:
            raise ValueError(f"It must be 40 <= low {low} < high {high} <= 2000 Hz and 0 <= floor {floor} <= 1.")
        self.low, self.high, self.floor = low, high, floor

    def run(self, model: None, inputs: Inputs, context: Context) -> Outputs:
        """`vocals` [1, frames] and `instrumental` [channels, frames], two at most, float files in the task's folder.

        Of a mono mix only the comb can be used, which is said. Raises `TaskFailed` for sound that is empty or has NaN in it.
        """
        from nodes.separate.center.melody import comb, melody
        from nodes.separate.center.spectrum import Spectrum

        mix = inputs["audio"]
        assert isinstance(mix, Audio)
        if mix.channels == 1:
            context.warn("The mix is mono, so its singing is told from the rest by pitch alone.")
        spectrum = Spectrum(mix, "The mix")
        middles = _middles(spectrum, lambda done: context.progress(done / 2, "following the voice"))
        pitch = melody((abs(piece) for piece in middles), spectrum.hertz, self.low, self.high)
        middles = _middles(spectrum, lambda done: context.progress(0.5 + done / 2, "taking it out"))
        voice = spectrum.sound(_masked(middles, pitch, lambda f0: comb(spectrum.hertz, f0, self.floor)))
        return write_stems(_beside(mix, voice), mix.rate, min(mix.channels, 2), context)


def _middles(spectrum: Spectrum, progress: Callable[[float], None]) -> Iterator[Spectra]:
    """What all channels share, a piece at a time: [frames, bins]."""
    for first, channels in spectrum.pieces():
        middle = channels.mean(axis=0)
        shared, side = abs(middle) ** 2, (abs(channels - middle) ** 2).mean(axis=0)
        yield middle * (shared / (shared + _SIDE * side + 1e-12))
        progress((first + len(middle)) / spectrum.frames)


def _masked(pieces: Iterator[Spectra], pitch: Any, mask: Callable[[Any], Any]) -> Iterator[Spectra]:
    first = 0
    for piece in pieces:
        yield (piece * mask(pitch[first : first + len(piece)])).astype("complex64")
        first += len(piece)


def _beside(mix: Audio, voice: Iterator[Samples]) -> Iterator[tuple[Samples, Samples]]:
    """Each piece of the voice as [1, n] with the same piece of the mix before it."""
    start = 0
    for piece in voice:
        yield folded(mix.read(start, start + len(piece))), piece[None]
        start += len(piece)
