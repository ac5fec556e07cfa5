"""RVC as a converting node: singing or speech in a trained voice, in memory that hardly grows with its length."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from nodes.audio.reading import checked_mono, is_silent
from nodes.loading.precision import check_precision, in_half
from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Context, Inputs, Outputs, Place, Port
from pipelines.schema.values import Audio

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from nodes.convert.rvc.model import Loaded, Voice
    from pipelines.schema.values import Samples

#: Rate and samples of a frame of 10 ms of what is heard, and frames the vocoder makes at once.
_RATE, _FRAME, _WINDOW = 16000, 160, 200
#: Seconds heard around a chunk, half the stretch in which its end may lie, and how much more a chunk may have before it is cut.
_PAD, _QUERY, _MORE = 1, 6, 3
#: Seconds between two points of the loudness envelope, and samples it is applied to at once.
_ENVELOPE, _BLOCK = 0.5, 1 << 16


class Rvc:
    """Says or sings the same in a trained voice.

    Takes `audio`, at any rate and in any channels; gives `audio`, float32 [1, frames] at the voice's rate (32,000 to 48,000 Hz), as
    long as the input. A recording joined to `voice` is not used.
    Licence: weights MIT (HuBERT, RMVPE; a voice's own is its trainer's), code Apache-2.0. Figures: `conf/model/convert/rvc.yaml`.

    pitch: the tracker, rmvpe | crepe | swift_f0.
    semitones: added to the pitch, -36 to 36.
    index: how far features move toward those of the voice's training, 0 to 1; without an index file nothing moves.
    protect: how much of its own an unvoiced sound keeps, 0 to 0.5 (0.5: as a voiced one).
    envelope: 1 keeps the loudness that the voice gives, 0 that of the input.
    segment: seconds converted at once, at least 12; a shorter one needs less memory and hears less around.
    precision: `float32` or, on a card, `float16`.
    voice: file of the weights folder; the item's setting `rvc_model` outranks it.
    speaker: number of the speaker in the checkpoint, from 0.
    """

    inputs: ClassVar[Mapping[str, Port]] = {
        "audio": Port("audio", "speech or singing of one voice"),
        "voice": Port("audio", "not used: the voice is in the weights", optional=True),
    }
    outputs: ClassVar[Mapping[str, Port]] = {"audio": Port("audio", "the same words, mono, at the voice's rate")}

    #: Seconds around a piece of a stream; it adds a mirrored second of its own.
    hears: ClassVar[float] = 0.5

    def __init__(  # noqa: PLR0913, PLR0917 - a node's knobs are its keywords
        self,
        pitch: str = "rmvpe",
        semitones: float = 0.0,
        index: float = 0.5,
        protect: float = 0.33,
        envelope: float = 0.25,
        segment: float = 38.0,
        precision: str = "float32",
        voice: str = "",
        speaker: int = 0,
    ) -> None:
        check_precision(precision)
        if pitch not in ("rmvpe", "crepe", "swift_f0"):
            raise ValueError(f"pitch {pitch!r} must be rmvpe, crepe or swift_f0.")
        if not -36 <= semitones <= 36 or not 0 <= index <= 1 or not 0 <= protect <= 0.5 or not 0 <= envelope <= 1:
            raise ValueError("semitones must be -36 to 36, index and envelope 0 to 1, protect 0 to 0.5.")
        if segment < 2 * _QUERY:
            raise ValueError(f"segment {segment} must be at least {2 * _QUERY} s.")
        self.pitch, self.semitones, self.index, self.protect, self.envelope = pitch, semitones, index, protect, envelope
        self.segment, self.precision, self.voice, self.speaker = segment, precision, voice, speaker

    def load(self, place: Place) -> Loaded:
        """The voice, HuBERT and the pitch tracker on `place.device`. Raises `TaskFailed` with what is missing."""
        from nodes.convert.rvc.model import load
        from nodes.convert.rvc.pitch import tracker

        half = in_half(self.precision, place.device)
        loaded = load(place.weights, place.device, half, self.pitch, self.voice)
        if loaded.pitch is None:
            loaded.pitch = tracker(self.pitch).load(Place(place.device))
        return loaded

    def unload(self, model: Loaded) -> None:
        """Let go of the voice, HuBERT and the tracker."""
        model.voice = model.hubert = model.pitch = None

    def run(self, model: Loaded, inputs: Inputs, context: Context) -> Outputs:
        """`audio` float32 [1, frames] as long as the input. Raises `TaskFailed` for unreadable sound or an unknown voice."""
        import numpy as np

        audio = inputs["audio"]
        assert isinstance(audio, Audio)
        samples = checked_mono(audio, "The audio to convert", _RATE)
        voice = model.choose(str(context.settings.get("rvc_model") or self.voice))
        rate = voice.network.shape.rate
        frames = round(audio.seconds * rate)
        if is_silent(samples) or len(samples) < _RATE // 10:
            context.warn("The audio to convert is silent or shorter than 0.1 s; it stays silent.")
            return {"audio": Audio.of(np.zeros(frames), rate)}
        if not 0 <= self.speaker < voice.network.shape.speakers:
            raise TaskFailed(
                f"Voice {voice.name!r} has speakers 0 to {voice.network.shape.speakers - 1}, not {self.speaker}."
            )
        source, made, done = _without_rumble(samples), np.zeros(frames, np.float32), 0
        del samples
        for chunk in self._chunks(model, voice, source, context):
            done += len(part := chunk[: frames - done])
            made[done - len(part) : done] = part
        if self.envelope < 1:
            _make_as_loud(made, rate, source, self.envelope)
        made /= max(float(max(made.max(), -made.min())) / 0.99, 1.0)
        return {"audio": Audio.of(made, rate)}

    def _chunks(self, model: Loaded, voice: Voice, source: Samples, context: Context) -> Iterator[Samples]:
        """Each chunk's samples without what was heard around it."""
        import numpy as np
        import torch

        from nodes.convert.rvc.pitch import coarse, hertz_of

        pad = _PAD * _RATE
        padded = _mirrored(source, pad)
        pitch = (
            hertz_of(self.pitch, model, padded, context) * 2 ** (self.semitones / 12)
            if voice.network.shape.pitched
            else None
        )
        cuts = _cuts(source, self.segment)
        noise = torch.Generator(model.device).manual_seed(context.seed)
        for index, (start, stop) in enumerate(itertools.pairwise(cuts)):
            last = stop == len(source)
            sound = padded[start:] if last else padded[start : stop + 2 * pad + _FRAME]
            hertz = None if pitch is None else pitch[start // _FRAME : None if last else (stop + 2 * pad) // _FRAME]
            pair = None if hertz is None else (coarse(hertz), hertz)
            made = self._converted(model, voice, np.ascontiguousarray(sound), pair, noise)
            edge, rate = _PAD * voice.network.shape.rate, voice.network.shape.rate
            yield made[edge : edge + round((stop - start) * rate / _RATE)]
            context.progress((index + 1) / (len(cuts) - 1), "convert")

    def _converted(
        self,
        model: Loaded,
        voice: Voice,
        sound: Samples,
        pitch: tuple[NDArray[np.int64], NDArray[np.float64]] | None,
        noise: torch.Generator,
    ) -> Samples:
        import numpy as np
        import torch

        from nodes.convert.rvc.features import features

        content = features(model.hubert, torch.from_numpy(sound)[None].to(model.device, model.dtype))
        moved = self._toward_training(content, voice)
        frames = min(2 * content.shape[1], len(sound) // _FRAME, *(() if pitch is None else (len(pitch[1]),)))
        content, moved = (x.repeat_interleave(2, dim=1)[:, :frames] for x in (content, moved))
        pair = None
        if pitch is not None:
            pair = (
                torch.from_numpy(pitch[0][:frames])[None].to(model.device),
                torch.from_numpy(pitch[1][:frames])[None].float().to(model.device),
            )
            if self.protect < 0.5:
                share = torch.where(pair[1] >= 1, 1.0, self.protect).to(content.dtype)[..., None]
                moved = moved * share + content * (1 - share)
        pieces = voice.network.convert(moved, pair, self.speaker, noise, _WINDOW)
        return np.concatenate([piece.float().cpu().numpy() for piece in pieces])

    def _toward_training(self, content: torch.Tensor, voice: Voice) -> torch.Tensor:
        import torch

        if voice.index is None or not self.index:
            return content
        near = torch.from_numpy(voice.index.near(content[0].float().cpu().numpy()))[None].to(content)
        return near * self.index + content * (1 - self.index)


def _without_rumble(samples: Samples) -> Samples:
    """Nothing under 48 Hz, without delay: `scipy.signal.filtfilt`, but a block at a time, since that holds a track ten times over."""
    import numpy as np
    from scipy.signal import butter, lfilter, lfilter_zi

    high, low = butter(N=5, Wn=48, btype="high", fs=_RATE)
    edge = min(18, len(samples) - 1)  # mirrored through its ends, as filtfilt does
    before, after = 2 * samples[0] - samples[edge:0:-1], 2 * samples[-1] - samples[-2 : -edge - 2 : -1]
    made = np.concatenate([before, samples, after], dtype=np.float64)
    for track in (made, made[::-1]):
        state = lfilter_zi(high, low) * track[0]
        for start in range(0, len(track), _BLOCK):
            track[start : start + _BLOCK], state = lfilter(high, low, track[start : start + _BLOCK], zi=state)
    return made[edge : len(made) - edge].astype(np.float32)


def _mirrored(samples: Samples, pad: int) -> Samples:
    import numpy as np

    return np.pad(samples, (pad, pad), mode="reflect")


def _cuts(samples: Samples, segment: float) -> list[int]:
    """Where chunks begin and end: near each multiple of `segment` where it is quietest, a whole feature frame apart.

    A chunk that is hardly longer than `segment` is left whole.
    """
    import numpy as np

    step = int(segment * _RATE)
    if len(samples) <= step + _MORE * _RATE:
        return [0, len(samples)]
    cuts = [0]
    for near in range(step, len(samples), step):
        first, last = near - _QUERY * _RATE, near + _QUERY * _RATE
        around = samples[first - _FRAME : last + _FRAME]
        loud = np.abs(np.convolve(around, np.ones(_FRAME), mode="same"))
        quietest = first + int(np.argmin(loud[_FRAME : _FRAME + last - first]))
        cuts.append(quietest // (2 * _FRAME) * 2 * _FRAME)
    return [*cuts, len(samples)]


def _make_as_loud(made: Samples, rate: int, source: Samples, share: float) -> None:
    """Move the loudness of `made` over half seconds, in place, to that of `heard`; `share` of its own stays."""
    import numpy as np

    own, wanted = _loudness(made, rate), _loudness(source, _RATE)
    for start in range(0, len(made), _BLOCK):
        at = (np.arange(start, min(start + _BLOCK, len(made))) + 0.5) / len(made)
        gain = np.power(_between(wanted, at), 1 - share) * np.power(np.maximum(_between(own, at), 1e-6), share - 1)
        made[start : start + _BLOCK] *= gain.astype(np.float32)


def _between(points: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values of `points`, evenly spread over 0..1, at `at`, linear between them."""
    import numpy as np

    return np.interp(at * len(points) - 0.5, np.arange(len(points)), points)


def _loudness(samples: Samples, rate: int) -> NDArray[np.float64]:
    """Root mean square over a second, every half second, silence around the ends."""
    import numpy as np

    half = int(_ENVELOPE * rate)
    parts = (samples[start : start + half] for start in range(0, len(samples), half))
    sums = np.array([0.0, *(np.square(part, dtype=np.float64).sum() for part in parts), 0.0])
    means: NDArray[np.float64] = np.sqrt((sums[:-1] + sums[1:]) / (2 * half))
    return means[: len(samples) // half + 1]
