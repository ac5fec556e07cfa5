"""A user's sound file opened for a run: read once from beginning to end, in blocks, and decoded where libsndfile cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.inputs.decoders import by_av, by_soundfile, quiet
from pipelines.inputs.truncation import Shortfall, shortfall
from pipelines.schema.errors import TaskFailed
from pipelines.schema.names import safe_name
from pipelines.schema.values import Audio

if TYPE_CHECKING:
    from pipelines.schema.values import Samples


def open_audio(path: Path, folder: Path, warn: Callable[[str], None] = lambda sentence: None) -> Audio:
    """A file's sound as a value that stays in a file. What libsndfile cannot read is decoded into `folder`.

    warn: called with a sentence where a file has less sound than its header says; what is there is used.
    Memory holds a second of sound at a time. One call at a time in a process: see `quiet`.
    Raises `TaskFailed` for what is no sound, and for NaN or infinite samples, which would silently poison every model
    after it.
    """
    if not path.is_file():
        raise TaskFailed(f"There is no file {str(path)!r}.")
    with quiet(path):
        audio = by_soundfile(path) or _decode(path, folder)
        short = shortfall(path)
        if _frames_in(audio, path) < audio.frames:  # of an MP3 libsndfile believes the header
            promised, audio = audio.seconds, _decode(path, folder)
            short = Shortfall(promised, audio.seconds) if audio.seconds < promised else None
    if short:
        warn(
            f"{path} breaks off: its header promises {short.promised:.1f} s, "
            f"and the {short.there:.1f} s that are there are used."
        )
    return audio


def _decode(path: Path, folder: Path) -> Audio:
    """The whole sound of `path` as a WAV file of 32-bit floats in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{safe_name(path.stem)}.wav"
    try:
        _write_decoded(path, target)
    except TaskFailed:
        target.unlink(missing_ok=True)
        raise
    return Audio.open(target)


def _write_decoded(path: Path, target: Path) -> None:
    import soundfile

    with by_av(path) as (container, stream):
        import av

        planar = av.AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
        with soundfile.SoundFile(str(target), "w", stream.rate, stream.channels, "FLOAT", format="RF64") as sound:
            for frame in container.decode(stream):
                for block in planar.resample(frame):
                    sound.write(block.to_ndarray().T)


def _frames_in(audio: Audio, path: Path) -> int:
    """How many frames there are, each of them read and found to be a number. path: the user's file, for the message."""
    import soundfile

    count = 0
    try:
        with soundfile.SoundFile(str(audio.path)) as sound:
            while len(block := sound.read(audio.rate, dtype="float32", always_2d=True)):
                if (bad := _first_not_finite(block)) is not None:
                    at = (count + bad) / audio.rate
                    raise TaskFailed(
                        f"{path} has samples that are not numbers (the first at {at:.2f} s). Export it again."
                    )
                count += len(block)
    except soundfile.LibsndfileError as error:
        why = error.error_string.removeprefix("Error : ").rstrip(".")
        raise TaskFailed(f"{path} breaks off at {count / audio.rate:.1f} s ({why}). Is the file complete?") from None
    return count


def _first_not_finite(block: Samples) -> int | None:
    """The first frame of `block` [frames, channels] that holds NaN or infinity."""
    import numpy as np

    bad = ~np.isfinite(block).all(axis=1)
    return int(np.argmax(bad)) if bad.any() else None
