"""The two outputs of a separating node, voice and mix less voice, written as they are made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

from nodes.audio.writing import wav_writer
from pipelines.schema.node import Context, Outputs
from pipelines.schema.values import Audio

if TYPE_CHECKING:
    from pipelines.schema.values import Samples


def write_stems(pieces: Iterator[tuple[Samples, Samples]], rate: int, channels: int, context: Context) -> Outputs:
    """`vocals` and `instrumental` as float files in the task's folder, from (mix, voice) pieces [channels, n].

    The voice may have one channel where the mix has more; it is taken from each.
    """
    paths = {name: context.folder / f"{name}.wav" for name in ("vocals", "instrumental")}
    with ExitStack() as stack:
        vocals = instrumental = None
        for mix, voice in pieces:
            if vocals is None or instrumental is None:
                vocals, instrumental = (
                    stack.enter_context(wav_writer(path, rate, made))
                    for path, made in zip(paths.values(), (len(voice), channels), strict=True)
                )
            vocals.write(voice.T)
            instrumental.write((mix - voice).T)
    return {name: Audio.open(path) for name, path in paths.items()}
