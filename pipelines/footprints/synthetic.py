"""Inputs of a wanted size for measuring a node: voiced sound, words, a contour. Plausible enough that nodes do their work."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from pipelines.schema.config import Item
from pipelines.schema.errors import UsageError, did_you_mean
from pipelines.schema.node import Port
from pipelines.schema.values import Audio, Contour, Note, Notes, Text, Value, Word, Words

_RATE = 44_100
#: Of a reference voice beside a text, which has no length of its own.
_VOICE_SECONDS = 6.0
_SENTENCE = "The measure of a song is not its length but the breath between the words. "


def synthetic_inputs(ports: Mapping[str, Port], item: Item) -> dict[str, Value]:
    """A value for every port that is not optional, sized by the item's seconds, channels and characters.

    Raises `UsageError` for a port type nobody can make up (a finished file).
    """
    makers: dict[str, Callable[[Item], Value]] = {
        "audio": _audio, "words": _words, "contour": _contour, "notes": _notes, "text": _text,
    }  # fmt: skip
    values = {}
    for name, port in ports.items():
        if port.type in makers:
            values[name] = makers[port.type](item)
        elif not port.optional:
            raise UsageError(
                f"Input {name!r} of type {port.type!r} cannot be made up. {did_you_mean(port.type, makers)}"
            )
    return values


def _audio(item: Item) -> Audio:
    """A gliding, vibrating voice-like tone over faint noise, float32 [channels, seconds * 44100]."""
    rng = np.random.default_rng(0)
    times = np.arange(round((item.seconds or _VOICE_SECONDS) * _RATE)) / _RATE
    hertz = 220 * 2 ** (np.sin(2 * np.pi * times / 7) / 2 + np.sin(2 * np.pi * 5.5 * times) / 48)
    phase = 2 * np.pi * np.cumsum(hertz) / _RATE
    voice = sum(np.sin(k * phase) / k for k in range(1, 9)) * (0.6 + 0.4 * np.sin(2 * np.pi * 2 * times))
    channels = [0.2 * voice + 0.01 * rng.standard_normal(len(times)) for _ in range(max(1, item.channels))]
    return Audio.of(np.stack(channels), _RATE)


def _text(item: Item) -> Text:
    wanted = item.characters or max(1, round(item.seconds * 14))
    return Text((_SENTENCE * (wanted // len(_SENTENCE) + 1))[:wanted])


def _words(item: Item) -> Words:
    names = _SENTENCE.split()
    starts = np.arange(0, max(item.seconds, 0.4), 0.4)
    return Words(tuple(Word(names[at % len(names)], float(t), float(t + 0.35)) for at, t in enumerate(starts)))


def _contour(item: Item) -> Contour:
    times = np.arange(0, max(item.seconds, 0.01), 0.01)
    return Contour(times, 220 * 2 ** (np.sin(times) / 2), np.full(len(times), 0.9))


def _notes(item: Item) -> Notes:
    starts = np.arange(0, max(item.seconds, 0.5), 0.5)
    return Notes(tuple(Note(float(t), float(t + 0.45), 60 + at % 12, " la") for at, t in enumerate(starts)), bpm=120)
