"""The chain of `dub` with the variants that need no weights, on this machine's CPU in real time: espeak speaks, WORLD converts."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.adaptive.latency import tier_settings
from pipelines.run.listening import Live
from pipelines.run.piecewise import Pieces
from pipelines.run.streaming import Stage, chain, join_audio
from pipelines.schema.node import Context
from pipelines.schema.values import Audio, Text

TEXT = (
    "The lighthouse keeper wrote every evening. He noted the wind, the ships, and the colour of the sea. "
    "On the last page there was only a drawing of the moon. Nobody knows who tore out the page before it."
)
#: The pitch tracker and the fade of the WORLD node look 0.1 s around; its own pieces are cut with as much.
_PIECES = Pieces(first=0.8, growth=1.5, most=2.0)


def _sound(stages: list[Stage]) -> Iterator[Audio]:
    return (chunk for chunk in chain(stages) if isinstance(chunk, Audio))


def result(tier: str = "cpu", sentences: int = 4) -> dict[str, object]:
    from nodes.convert.world import World
    from nodes.speak.espeak import Espeak

    text = ". ".join(TEXT.split(". ")[:sentences])
    with TemporaryDirectory() as folder:
        context = Context("bench", Path(folder), settings={"language": "en"})
        speak = Stage(Espeak(), None, {"text": Text(text)}, context)
        convert = Stage(World(semitones=3.0, formant=1.1), None, {}, context, pieces=_PIECES)
        # "After models are loaded": one sentence makes libraries import themselves, another shows how fast they then are.
        for words in ("Ready.", "It was a quiet night on the coast."):
            first = Stage(Espeak(), None, {"text": Text(words)}, context)
            warm = Live(_sound([first, convert]), tier_settings(tier), paced=False)
            join_audio(warm)
        begin = time.perf_counter()
        live = Live(_sound([speak, convert]), tier_settings(tier), len(text) / 15, warm.report().real_time_factor)
        whole = join_audio(live)
        wall = time.perf_counter() - begin
    report = live.report()
    return {
        "tier": tier,
        "cores": len(os.sched_getaffinity(0)),
        "audio_seconds": round(whole.seconds, 2),
        "wall_seconds": round(wall, 2),
        "first_audio_seconds": None if report.first_audio is None else round(report.first_audio, 3),
        "real_time_factor": round(report.real_time_factor, 3),
        "gaps": len(report.gaps),
        "utilisation": round(report.utilisation, 3),
        "notes": list(report.notes),
    }
