"""Singing taken out of a stereo mix by where it stands: in the centre, between the speakers. Needs no weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Context, Inputs, Outputs, Plain, Port
from pipelines.schema.values import Audio

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Spectrum = NDArray[np.complex64]
    Samples = NDArray[np.float32]

_FLOOR = 0.02


class Center(Plain):
    """Keeps, in every moment and at every frequency, the share of the sound that both channels have alike.

    Singing stands in the centre of nearly every mix. So do bass and drums: what is below `lowest` Hz is left out, and with
    `percussion` below 1 what is short and wide in frequency is turned down to that share. segment: seconds worked on at
    once; the result does not depend on it. A mono mix has no centre: then only the frequencies decide, and that is said.
    """

    inputs: ClassVar[Mapping[str, Port]] = {"audio": Port("audio", "the mix")}
    outputs: ClassVar[Mapping[str, Port]] = {
        "vocals": Port("audio", "what stands in the centre, mono, at the rate of the mix"),
        "instrumental": Port("audio", "the mix without it"),
    }

    def __init__(self, lowest: float = 120.0, percussion: float = 1.0, segment: float = 20.0) -> None:
        if not 0 <= percussion <= 1 or segment < 2 or lowest < 0:
            raise ValueError(f"percussion {percussion} must be 0 to 1, segment {segment} at least 2, lowest {lowest} at least 0.")
        self.lowest, self.percussion, self.segment = lowest, percussion, segment

    def run(self, model: None, inputs: Inputs, context: Context) -> Outputs:
        """`vocals` and `instrumental` as files in the task's folder, written block by block: a long track needs no more memory."""
        import numpy as np
        import soundfile

        audio = inputs["audio"]
        assert isinstance(audio, Audio)
        if audio.channels == 1:
            context.warn("a mono mix has no centre to take the singing from; only low frequencies were left out.")
        form = "RF64" if audio.frames * audio.channels * 4 > 4e9 else "WAV"
        paths = [context.folder / "vocals.wav", context.folder / "instrumental.wav"]
        with (
            soundfile.SoundFile(str(paths[0]), "w", audio.rate, 1, "FLOAT", format=form) as vocals,
            soundfile.SoundFile(str(paths[1]), "w", audio.rate, audio.channels, "FLOAT", format=form) as rest,
        ):
            done = 0
            for mix, sung in self.blocks(audio):
                if not np.isfinite(mix).all():
                    raise TaskFailed(f"The mix has samples that are not numbers near {done / audio.rate:.1f} s. Export it again.")
                vocals.write(sung)
                rest.write((mix - sung).T)
                done += mix.shape[1]
                context.progress(done / audio.frames)
        return {"vocals": Audio.open(paths[0]), "instrumental": Audio.open(paths[1])}

    def blocks(self, audio: Audio) -> Iterator[tuple[Samples, Samples]]:
        """Consecutive pieces: the mix float32 [channels, n] and its centre float32 [n]."""
        window = _window_frames(audio.rate)
        hop, length = window // 4, max(int(self.segment * audio.rate), window)
        length -= length % hop
        context = _context(window)
        for start in range(0, audio.frames, length):
            first, last = max(0, start - context), min(audio.frames, start + length + context)
            piece = audio.read(first, last)
            stop = min(start + length, audio.frames)
            yield piece[:, start - first : stop - first], self._centre(piece, audio.rate, window)[start - first : stop - first]

    def _centre(self, mix: Samples, rate: int, window: int) -> Samples:
        import numpy as np

        left, right = (_spectrum(channel, window) for channel in (mix[0], mix[-1]))
        middle, side = (left + right) / 2, (left - right) / 2
        gain = np.maximum(1 - _power(side) / (_power(middle) + 1e-12), _FLOOR)
        hertz = np.arange(window // 2 + 1) * rate / window
        gain *= (1 / (1 + (self.lowest / np.maximum(hertz, 1)) ** 8))[:, None].astype(np.float32)
        middle *= gain
        if self.percussion < 1:
            middle *= _harmonic_mask(np.abs(middle), self.percussion)
        return _sound(middle, window, mix.shape[1])


def _window_frames(rate: int) -> int:
    """About 93 ms, a power of two: 4096 at 44.1 kHz."""
    return 1 << max(8, round(0.093 * rate).bit_length() - 1)


def _context(window: int) -> int:
    """Frames beside a block that its samples depend on: the windows that reach in, and the median's."""
    return 16 * (window // 4)


def _window(window: int) -> Samples:
    import numpy as np

    return np.hanning(window + 1)[:-1].astype(np.float32)


def _spectrum(samples: Samples, window: int) -> Spectrum:
    """STFT, complex64 [bins, frames], hop a quarter of the window, the first frame centred on the first sample."""
    import numpy as np
    from numpy.lib.stride_tricks import sliding_window_view

    padded = np.pad(samples, (window // 2, window))
    frames = sliding_window_view(padded, window)[:: window // 4]
    spectrum: Spectrum = np.fft.rfft(frames * _window(window), axis=1).T.astype(np.complex64)
    return spectrum


def _sound(spectrum: Spectrum, window: int, frames: int) -> Samples:
    import numpy as np

    hop = window // 4
    pieces = np.fft.irfft(spectrum.T, n=window, axis=1).astype(np.float32) * (_window(window) / 1.5)
    summed = np.zeros(window + hop * (len(pieces) - 1), np.float32)
    for quarter in range(4):
        part = pieces[:, quarter * hop : (quarter + 1) * hop].reshape(-1)
        summed[quarter * hop : quarter * hop + part.size] += part
    return summed[window // 2 : window // 2 + frames]


def _power(spectrum: Spectrum) -> Samples:
    power: Samples = spectrum.real**2 + spectrum.imag**2
    return power


def _harmonic_mask(magnitude: Samples, percussion: float) -> Samples:
    """Share of each cell that lasts rather than strikes: medians over time against medians over frequency."""
    import numpy as np
    from scipy.ndimage import median_filter

    lasting, striking = median_filter(magnitude, (1, 17)) ** 2, median_filter(magnitude, (31, 1)) ** 2
    share: Samples = np.maximum(lasting / (lasting + striking + 1e-12), percussion).astype(np.float32)
    return share
