"""FreeVC as a converting node: speech in the voice of any reference recording. For speech, not for song: pitch is not kept."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from nodes.audio.cuts import quiet_cuts
from nodes.audio.reading import checked_mono, is_silent, voice_of
from nodes.loading.random_state import own_random
from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Context, Inputs, Outputs, Place, Port
from pipelines.schema.values import Audio

if TYPE_CHECKING:
    import torch

    from nodes.convert.freevc.model import Loaded
    from pipelines.schema.values import Samples

#: Rate of what is heard, seconds heard around a piece, and the longest reference that is listened to (s).
_RATE, _AROUND, _REFERENCE = 16000, 0.5, 30.0


class FreeVc:
    """Says the same in the voice of a reference recording. For speech, not for song: pitch is not kept.

    Takes `audio` and `voice`, at any rate and in any channels; gives `audio`, float32 [1, frames] at 24,000 Hz, as long as the input.
    Licence: weights MIT (FreeVC) and CC-BY-SA-3.0 (WavLM Large), code MPL-2.0 (coqui-tts). Figures: `conf/model/convert/freevc.yaml`.

    segment: the longest piece converted at once, at least 2 s; sound is cut where it is quiet.
    """

    inputs: ClassVar[Mapping[str, Port]] = {
        "audio": Port("audio", "speech of one voice"),
        "voice": Port("audio", "a reference recording of the voice", optional=True),
    }
    outputs: ClassVar[Mapping[str, Port]] = {
        "audio": Port("audio", "the same words, mono, at the model's rate (24,000 Hz)")
    }

    #: Seconds around a piece of a stream, as much as it hears around its own chunks.
    hears: ClassVar[float] = 0.5

    def __init__(self, segment: float = 15.0) -> None:
        if segment < 2:
            raise ValueError(f"segment {segment} must be at least 2 s.")
        self.segment = segment

    def load(self, place: Place) -> Loaded:
        """The networks on `place.device`, from local files. Raises `TaskFailed` with what is missing."""
        from nodes.convert.freevc.model import load

        return load(place.weights, place.device)

    def unload(self, model: Loaded) -> None:
        """Let go of the networks."""
        model.network = None

    def run(self, model: Loaded, inputs: Inputs, context: Context) -> Outputs:
        """`audio` float32 [1, frames] as long as the input. Raises `TaskFailed` for unreadable sound or a voice that is not there."""
        import numpy as np
        import torch

        audio, target = inputs["audio"], voice_of(inputs, context)
        assert isinstance(audio, Audio)
        if target is None:
            raise TaskFailed("FreeVC needs a target voice: give voice= some seconds of clear speech.")
        samples = checked_mono(audio, "The audio to convert", _RATE)
        frames = round(audio.seconds * model.rate)
        if is_silent(samples):
            context.warn("The audio to convert is silent; it stays silent.")
            return {"audio": Audio.of(np.zeros(frames), model.rate)}
        voice = _voice(model, target)
        cuts, pieces = quiet_cuts(samples, _RATE, self.segment), []
        with own_random(model.device), torch.inference_mode():
            torch.manual_seed(context.seed)
            for index, (start, stop) in enumerate(itertools.pairwise(cuts)):
                pieces.append(self._piece(model, samples, start, stop, voice))
                context.progress((index + 1) / (len(cuts) - 1))
        made = np.concatenate(pieces)[:frames]
        return {"audio": Audio.of(np.pad(made, (0, frames - len(made))), model.rate)}

    def _piece(self, model: Loaded, samples: Samples, start: int, stop: int, voice: torch.Tensor) -> Samples:
        """What [start, stop) becomes, heard with what is around it; its own end is repeated where the sound ends."""
        import numpy as np
        import torch

        around = int(_AROUND * _RATE)
        first = max(start - around, 0)
        padded = samples[first : stop + around]
        padded = np.pad(
            padded,
            (0, stop + around - first - len(padded)),
            mode="reflect" if len(padded) > around else "constant",
        )
        sound = torch.from_numpy(padded)[None].to(model.device)
        made: Any = model.network.inference(model.network.extract_wavlm_features(sound), g=voice)
        begin, count = ((at * model.rate // _RATE) for at in (start - first, stop - start))
        return np.asarray(made[0, 0, begin : begin + count].float().cpu().numpy(), np.float32)


def _voice(model: Loaded, target: Audio) -> torch.Tensor:
    """The speaker embedding of the reference, [1, channels, 1]."""
    import torch

    samples = checked_mono(target, "The reference voice", _RATE, _REFERENCE)
    if is_silent(samples) or len(samples) < _RATE // 2:
        raise TaskFailed("The reference voice is silent or shorter than 0.5 s. Give some seconds of clear speech.")
    with torch.inference_mode():
        embedding: torch.Tensor = model.network._extract_target_se([torch.from_numpy(samples)])
    return embedding
