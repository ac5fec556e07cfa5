"""Voice conversion without weights: WORLD takes speech apart, moves pitch and formants toward a voice, and rebuilds it.

It gives the target's height and size of voice, not its timbre. The sound is analysed in pieces cut where it is quiet, so
memory does not grow with its length, and each is given as soon as it is made.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from nodes.audio.cuts import Cut, quiet_cuts, quiet_pieces
from nodes.audio.reading import checked_mono, voice_of
from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Context, Inputs, Outputs, Plain, Port
from pipelines.schema.values import Audio, Value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipelines.schema.values import Samples

    Array = NDArray[np.float64]

#: Seconds of the reference that are listened to, of sound around a piece that is analysed with it, and of the fade between two.
_REFERENCE, _AROUND, _FADE = 30.0, 0.1, 0.01
#: Seconds of the first piece (they grow), and of the sound to convert from which its own voice is known.
_FIRST, _OWN = 1.0, 2.5


@dataclass(frozen=True, eq=False)
class Voice:
    """A voice in figures: centre and spread of log pitch over voiced frames, mean log envelope on `_grid` frequencies."""

    centre: float
    spread: float
    envelope: Array


class World(Plain):
    """Moves speech toward the voice of a reference recording, or by a fixed amount.

    Takes `audio` and `voice`, at 8,000 Hz or more and in any channels; gives `audio`, float32 [1, frames] at the rate of the input and
    as long as it.
    Licence: code MIT (pyworld) and BSD-3-Clause (WORLD); no weights. Figures: `conf/model/convert/world.yaml`.

    semitones: added to the pitch, -36 to 36.
    formant: factor on the formants, 0.5 to 2 (1.15 is a smaller speaker).
    segment: the longest piece analysed at once, at least 1 s.
    """

    inputs: ClassVar[Mapping[str, Port]] = {
        "audio": Port("audio", "speech or singing of one voice"),
        "voice": Port("audio", "a reference recording of the voice", optional=True),
    }
    outputs: ClassVar[Mapping[str, Port]] = {"audio": Port("audio", "the same words, mono, at the rate of the input")}

    def __init__(self, semitones: float = 0.0, formant: float = 1.0, segment: float = 10.0) -> None:
        if not -36 <= semitones <= 36 or not 0.5 <= formant <= 2 or segment < 1:
            raise ValueError(
                f"semitones {semitones} must be -36 to 36, formant {formant} 0.5 to 2, segment {segment} at least 1 s."
            )
        self.semitones, self.formant, self.segment = semitones, formant, segment

    def run(self, model: None, inputs: Inputs, context: Context) -> Outputs:
        """`audio` float32 [1, frames], as long as the input. Raises `TaskFailed` for unreadable sound or a voice without pitch."""
        import numpy as np

        source = inputs["audio"]
        assert isinstance(source, Audio)
        made = list(self._pieces(inputs, iter([source]), context))
        return {"audio": Audio.of(np.concatenate([piece.read() for piece in made], axis=1), source.rate)}

    def stream(self, model: None, inputs: Inputs, chunks: Iterator[Value] | None, context: Context) -> Iterator[Value]:
        """The same samples piece by piece. Raises as `run` does."""
        return self._pieces(inputs, iter([inputs["audio"]]) if chunks is None else chunks, context)

    def _pieces(self, inputs: Inputs, chunks: Iterator[Value], context: Context) -> Iterator[Audio]:
        target = voice_of(inputs, context)
        first = next(chunks, Audio.of([], 8000))
        assert isinstance(first, Audio)
        if first.rate < 8000:
            raise TaskFailed(f"The audio to convert has {first.rate} Hz; world needs at least 8000 Hz. Resample it.")
        blocks = (_mono(chunk, first.rate) for chunk in itertools.chain([first], chunks))
        if target is None and self.semitones == 0 and self.formant == 1:
            context.warn(
                "There is no target voice, so nothing was changed: give voice=RECORDING, or the knobs semitones and formant."
            )
            yield from (Audio.of(block, first.rate) for block in blocks)
            return
        goal = None if target is None else _target(target, self.segment)
        converted = self._converted(
            quiet_pieces(blocks, first.rate, self.segment, _AROUND, _FIRST), first.rate, goal, context
        )
        yield from (Audio.of(samples, first.rate) for samples in converted)

    def _converted(self, cuts: Iterator[Cut], rate: int, goal: Voice | None, context: Context) -> Iterator[Samples]:
        """Each piece with the fade into the next; what is faded waits for the next one."""
        import numpy as np

        analysed: Iterator[tuple[Cut, Array]] = ((cut, _pitch(cut.samples, rate)) for cut in cuts)
        own, analysed = (None, analysed) if goal is None else _own_voice(analysed, rate)
        if goal is not None and own is None:
            context.warn("The audio to convert has no voiced sound, so nothing was changed.")
            yield from (cut.samples[cut.lead :][: cut.stop - cut.start] for cut, _ in analysed)
            return
        ratio = self.formant * (_formant_ratio(own, goal) if own and goal else 1.0)
        fade, held = int(_FADE * rate), np.zeros(0, np.float32)
        for cut, pitch in analysed:
            piece = _rebuilt(cut.samples, rate, pitch, self._moved(pitch, own, goal), ratio)
            lead, end = min(len(held), cut.lead), cut.lead + cut.stop - cut.start
            joined = np.concatenate([_faded(held, piece[cut.lead - lead : cut.lead]), piece[cut.lead : end]])
            context.progress(0.0)
            yield joined[: max(len(joined) - fade, 0)]
            held = joined[max(len(joined) - fade, 0) :]
        yield held

    def _moved(self, pitch: Array, own: Voice | None, goal: Voice | None) -> Array:
        import numpy as np

        voiced, moved = pitch > 0, pitch.copy()
        shift = self.semitones * np.log(2) / 12
        if own and goal:
            widen = float(np.clip(goal.spread / max(own.spread, 1e-3), 0.5, 2.0))
            moved[voiced] = np.exp((np.log(pitch[voiced]) - own.centre) * widen + goal.centre + shift)
        else:
            moved[voiced] = pitch[voiced] * np.exp(shift)
        return moved


def _mono(chunk: Value, rate: int) -> Samples:
    """A chunk's samples [frames]. Raises `TaskFailed` as `checked_mono`, and where its rate is another."""
    assert isinstance(chunk, Audio)
    if chunk.rate != rate:
        raise TaskFailed(f"The audio to convert changes its sample rate from {rate} to {chunk.rate} Hz.")
    return checked_mono(chunk, "The audio to convert")


def _own_voice(pieces: Iterator[tuple[Cut, Array]], rate: int) -> tuple[Voice | None, Iterator[tuple[Cut, Array]]]:
    """The voice of a sound's first seconds, longer where nothing in them is voiced; and all the pieces, those heard for it included."""
    opening: list[tuple[Cut, Array]] = []
    voice = None
    for cut, pitch in pieces:
        opening.append((cut, pitch))
        if cut.stop >= _OWN * rate and (voice := _voice([(cut.samples, pitch) for cut, pitch in opening], rate)):
            break
    voice = voice or _voice([(cut.samples, pitch) for cut, pitch in opening], rate)
    return voice, itertools.chain(opening, pieces)


def _target(audio: Audio, segment: float) -> Voice:
    what = "The reference voice"
    samples = checked_mono(audio, what, seconds=_REFERENCE)
    cuts = quiet_cuts(samples, audio.rate, segment)
    pieces = [samples[a:b] for a, b in itertools.pairwise(cuts)]
    voice = _voice([(piece, _pitch(piece, audio.rate)) for piece in pieces], audio.rate) if audio.rate >= 8000 else None
    if voice is None:
        raise TaskFailed(
            f"{what} has no voiced sound in the {min(audio.seconds, _REFERENCE):.1f} s that are listened to (or is under 8000 Hz). "
            "Give some seconds of speech or song."
        )
    return voice


def _world() -> Any:
    """The module pyworld, without the warning that its import of pkg_resources makes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pyworld
    return pyworld


def _pitch(samples: Samples, rate: int) -> Array:
    """Hz every 5 ms, 0 where unvoiced."""
    world, sound = _world(), samples.astype("float64")
    rough, times = world.dio(sound, rate, f0_floor=60.0, f0_ceil=1000.0)
    pitch: Array = world.stonemask(sound, rough, times, rate)
    return pitch


def _envelope(samples: Samples, pitch: Array, rate: int) -> Array:
    import numpy as np

    times = np.arange(len(pitch)) * 0.005
    envelope: Array = _world().cheaptrick(samples.astype("float64"), pitch, times, rate)
    return envelope


def _voice(pieces: list[tuple[Samples, Array]], rate: int) -> Voice | None:
    """The figures of a voice over all pieces; None where under 50 ms of it are voiced."""
    import numpy as np

    logs = np.log(np.concatenate([pitch[pitch > 0] for _, pitch in pieces]))
    if len(logs) < 10:
        return None
    total = np.zeros(_grid().size)
    for samples, pitch in pieces:
        envelope = np.log(_envelope(samples, pitch, rate)[pitch > 0] + 1e-12).sum(axis=0)
        total += np.interp(_grid(), np.linspace(0, rate / 2, len(envelope)), envelope)
    low, high = np.percentile(logs, [15.9, 84.1])
    return Voice(float(np.median(logs)), float((high - low) / 2), total / len(logs))


def _grid() -> Array:
    """Log-spaced frequencies where formants lie: moving formants by a factor is a shift on it. 100 points an octave."""
    import numpy as np

    grid: Array = 300 * 2 ** (np.arange(360) / 100)
    return grid


def _formant_ratio(own: Voice, goal: Voice) -> float:
    """The factor (0.75..1.33) that makes the mean envelopes look most alike; a voice's size shows in it."""
    import numpy as np

    reach = 42
    middle = own.envelope[reach:-reach]
    shifts = range(-reach, reach + 1)
    alike = [
        np.corrcoef(np.diff(middle), np.diff(goal.envelope[reach + s : len(goal.envelope) - reach + s]))[0, 1]
        for s in shifts
    ]
    return float(2 ** (shifts[int(np.nanargmax(alike))] / 100)) if np.isfinite(alike).any() else 1.0


def _rebuilt(samples: Samples, rate: int, pitch: Array, moved: Array, ratio: float) -> Samples:
    import numpy as np

    world, sound, times = _world(), samples.astype("float64"), np.arange(len(pitch)) * 0.005
    envelope = world.cheaptrick(sound, pitch, times, rate)
    aperiodicity = world.d4c(sound, pitch, times, rate)
    made = world.synthesize(moved, _stretched(envelope, ratio), aperiodicity, rate)[: len(samples)]
    padded: Samples = np.pad(made, (0, len(samples) - len(made))).astype(np.float32)
    return padded


def _stretched(envelope: Array, ratio: float) -> Array:
    """Each row's frequency axis stretched by `ratio`; where it ends, the last value goes on."""
    import numpy as np

    if ratio == 1:
        return envelope
    bins = envelope.shape[1]
    at = np.minimum(np.arange(bins) / ratio, bins - 1)
    low = np.minimum(at.astype(int), bins - 2)
    part = at - low
    stretched: Array = np.ascontiguousarray(envelope[:, low] * (1 - part) + envelope[:, low + 1] * part)
    return stretched


def _faded(old: Samples, new: Samples) -> Samples:
    """`old` turning over its last frames into `new`, which is no longer than it."""
    import numpy as np

    if not len(new):
        return old
    rise = np.linspace(0, 1, len(new), endpoint=False, dtype=np.float32)
    return np.concatenate([old[: -len(new)], old[-len(new) :] * (1 - rise) + rise * new])
