"""Frames to notes: the likeliest sequence of rests and notes on whole semitones, found by one Viterbi pass.

Each semitone has an attack of a few frames, in which the pitch may still glide, then a sustain; besides there is the rest.

    rest -> attack(60) -> sustain(60) -> attack(62) -> sustain(62) -> rest

Entering a note costs, less where the frame looks like an onset; so a held note is not cut by vibrato, and a note sung twice
is cut where a consonant or a swell parts it. A frame that reads an octave off costs a little, not a note. Not words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nodes.notes.frames import HOP, Frames

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Costs:
    """The weights of the search, tuned on generated songs (seeds 0 to 19 of `headroom sample`). Costs are per frame of 10 ms unless said.

    shortest: frames of attack, so the shortest note. enter, again: cost of a new note on another pitch, on the same.
    onset: how much a full onset takes off. spread: semitones a sustained pitch may stray; glide: the same in an attack.
    worst: highest cost of a stray frame. octave: of one an octave off. silent: of an unvoiced frame inside a note.
    sung: of a voiced, loud frame left out of every note. reach: per semitone of a leap, once. range: semitones around the
    song's middle pitch that cost nothing.
    """

    shortest: int = 8
    enter: float = 8.0
    again: float = 5.8
    onset: float = 6.0
    spread: float = 0.55
    glide: float = 0.6
    worst: float = 1.4
    octave: float = 0.1
    silent: float = 0.025
    sung: float = 0.68
    reach: float = 0.045
    range: float = 5.0


@dataclass(frozen=True, slots=True)
class Segment:
    """A note without words: frames [start, stop), a MIDI number, and how much its beginning looked like an onset (0..1)."""

    start: int
    stop: int
    midi: int
    onset: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.stop - self.start) * HOP


def segments_of(frames: Frames, costs: Costs | None = None) -> list[Segment]:
    """Ascending, not overlapping, each at least `shortest` frames. None where nothing is sung."""
    costs = costs or Costs()
    sung = frames.voicing * frames.loud > 0.5
    if int(sung.sum()) < costs.shortest:
        return []
    tuned = frames.midi - tuning(frames.midi[sung])
    middle = float(np.median(tuned[sung]))
    low, high = np.percentile(tuned[sung], [2, 98])
    pitches = np.arange(int(max(low, middle - 24)) - 1, int(min(high, middle + 24)) + 3)
    states = _decode(frames, tuned, pitches, middle, costs)
    return [_settled(frames, tuned, segment) for segment in _runs(states, pitches, frames)]


def tuning(midi: Array) -> float:
    """By how many semitones (-0.5..0.5) the song is off concert pitch: the circular mean of all fractions, 0 where they disagree."""
    mean = np.mean(np.exp(2j * np.pi * midi)) if len(midi) else 0j
    return float(np.angle(mean) / (2 * np.pi)) if abs(mean) > 0.3 else 0.0


def _pitch_costs(tuned: Array, pitches: NDArray[np.int_], middle: float, costs: Costs) -> tuple[Array, Array]:
    """Cost of each frame on each semitone, [frames, pitches], while sustained and while attacked."""
    off = np.abs(tuned[:, None] - pitches)
    octave = np.abs(off - 12)
    outside = np.maximum(np.abs(pitches - middle) - costs.range, 0) * 0.02

    def cost(width: float) -> Array:
        straight = np.minimum(0.5 * (off / width) ** 2, costs.worst)
        folded = np.minimum(0.5 * (octave / width) ** 2 + costs.octave, costs.worst)
        best: Array = np.minimum(straight, folded) + outside
        return best

    return cost(costs.spread), cost(costs.glide)


def _decode(
    frames: Frames, tuned: Array, pitches: NDArray[np.int_], middle: float, costs: Costs
) -> list[tuple[int, int, int]]:
    """Notes as (start, stop, index of pitch), by Viterbi over rest, attacks and sustains."""
    count, width, depth = len(frames), len(pitches), costs.shortest
    sustain, attack = _pitch_costs(tuned, pitches, middle, costs)
    voiced = frames.voicing[:, None]
    silent = costs.silent * (1 - voiced)
    sustain, attack = voiced * sustain + silent, voiced * attack + silent
    rest_cost = costs.sung * frames.voicing * frames.loud
    leap = costs.reach * np.abs(pitches[:, None] - pitches) + np.where(np.eye(width) > 0, costs.again, costs.enter)
    gain = costs.onset * frames.onset
    rest, held = 0.0, np.full(width, np.inf)
    ramp = np.full((depth, width), np.inf)
    came_from = np.zeros((count, width), dtype=np.int16)  # what an attack began from: a pitch, or -1 for the rest
    settled = np.zeros((count, width), dtype=bool)  # a sustain reached from the attack's end
    ended = np.full(count, -1, dtype=np.int16)  # the pitch a rest began from, -1 where it went on
    for frame in range(count):
        from_held = held[:, None] + leap
        best = np.argmin(from_held, axis=0)
        begin = from_held[best, np.arange(width)]
        from_rest = rest + costs.enter
        came_from[frame] = np.where(begin < from_rest, best, -1)
        entering = np.minimum(begin, from_rest) - gain[frame]
        settled[frame] = ramp[-1] < held
        new_held = np.minimum(held, ramp[-1]) + sustain[frame]
        quietest = int(np.argmin(held))
        ended[frame] = quietest if held[quietest] < rest else -1
        rest = min(rest, float(held[quietest])) + rest_cost[frame]
        ramp = np.concatenate([entering[None], ramp[:-1]]) + attack[frame]
        held = new_held
    return _trace(rest, held, came_from, settled, ended, depth)


def _trace(
    rest: float,
    held: Array,
    came_from: NDArray[np.int16],
    settled: NDArray[np.bool_],
    ended: NDArray[np.int16],
    depth: int,
) -> list[tuple[int, int, int]]:
    """Back through the decisions from the cheaper of the last rest and the last sustain."""
    notes: list[tuple[int, int, int]] = []
    pitch = int(np.argmin(held)) if held.min() < rest else -1
    frame = stop = len(ended)
    while frame > 0:
        frame -= 1
        if pitch < 0:
            pitch, stop = int(ended[frame]), frame
        elif settled[frame, pitch]:
            start = frame - depth
            notes.append((start, stop, pitch))
            pitch, frame, stop = int(came_from[start, pitch]), start, start
    return notes[::-1]


def _runs(states: list[tuple[int, int, int]], pitches: NDArray[np.int_], frames: Frames) -> list[Segment]:
    return [
        Segment(
            start, stop, int(pitches[index]), float(np.clip(frames.onset[max(start - 2, 0) : start + 3].max(), 0, 1))
        )
        for start, stop, index in states
        if frames.voicing[start:stop].mean() > 0.3
    ]


def _settled(frames: Frames, tuned: Array, segment: Segment) -> Segment:
    """With the pitch its voiced frames have in the middle, octave slips folded back: half of the note is enough, and vibrato
    leaves the median where it is."""
    length = segment.stop - segment.start
    inside = slice(segment.start + length // 4, segment.stop - length // 8)
    near = segment.midi + (tuned[inside] - segment.midi + 6) % 12 - 6
    weight = frames.voicing[inside] > 0.5
    if weight.sum() < 3:
        return segment
    return Segment(segment.start, segment.stop, round(float(np.median(near[weight]))), segment.onset)
