"""What `input=` names: files, globs, folders, lists and tables become items, their headers probed, nothing decoded."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pipelines.inputs.riff import shortfall
from pipelines.inputs.tables import SUFFIXES, read_table
from pipelines.schema.config import Item
from pipelines.schema.errors import TaskFailed, UsageError
from pipelines.schema.names import safe_name
from pipelines.schema.values import Audio

#: Settings that name a file, which a node opens by itself.
FILES = ("voice", "translations", "cover")
#: Extensions taken when a folder is named. Anything else may still be named file by file.
SOUND = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac", ".mp4", ".aif", ".aiff", ".wma", ".webm")


def find_items(
    spec: Any,
    text: str | None,
    shared: Mapping[str, Any],
    ports: Iterable[str],
    unreadable: dict[str, TaskFailed] | None = None,
) -> list[Item]:
    """Items for a run, in a stable order, with unique names that are safe as folder names.

    spec: the value of `input=`. text: the value of `text=`. shared: settings every item starts from (lyrics, language...).
    ports: what the pipeline takes from an item (`audio`, `text`), with their types where it is a mapping. Raises `UsageError`
    where nothing is named or found, and `TaskFailed` for a file that cannot be read; `unreadable`, where given, takes these
    by item, and only if no item is left is that raised.
    """
    kinds = ports if isinstance(ports, Mapping) else {}
    ports = tuple(ports)
    if text is not None and not isinstance(text, str | int | float):
        raise UsageError(
            f"text={text} is not one text. Put several into a .jsonl table, a row each, and name it with input=."
        )
    rows = list(_rows(spec))
    if not rows and text is not None:
        rows = [(None, {"text": text})]
    if not rows:
        raise UsageError(f"There is nothing to work on: add {_wanted(ports)}.")
    names: dict[str, int] = {}
    items = []
    for path, settings in rows:
        merged = {
            key: value
            for key, value in {**shared, "text": text if text is None else str(text), **settings}.items()
            if value is not None
        }
        stem = str(settings.get("name") or (path.stem if path else _text_stem(merged.get("text", ""))))
        name = _unique(safe_name(stem), names)
        try:
            _check_ports(name, path, merged, ports, kinds)
            items.append(_item(name, path, merged))
        except TaskFailed as error:
            if unreadable is None:
                raise
            unreadable[name] = error
    if not items:
        raise TaskFailed("\n".join(map(str, (unreadable or {}).values())))
    return items


def _wanted(ports: Sequence[str]) -> str:
    if "audio" in ports:
        return "input=FILE (a sound file, a glob, a folder, or a .csv or .jsonl table)"
    return 'text="...", or input=TABLE (.csv or .jsonl, with a column `text`)'


def _check_ports(
    name: str, path: Path | None, settings: Mapping[str, Any], ports: Sequence[str], kinds: Mapping[str, str]
) -> None:
    """What the pipeline takes from an item is there, before anything is planned for it."""
    if "audio" in ports and path is None:
        raise UsageError(f"{name} has no sound, and this pipeline takes some: add {_wanted(ports)}.")
    if "text" in ports and settings.get("text") is None:
        raise UsageError(f"{name} has no text, and this pipeline takes one: add {_wanted(ports)}.")
    for port in ports:
        named = settings.get(port)
        if port not in ("audio", "text") and named:
            _refuse_missing(port, str(named))
            if kinds.get(port) == "audio":
                probe(Path(str(named)).expanduser())
    if settings.get("translations"):  # read in the middle of a run; told before it
        _refuse_missing("translations", str(settings["translations"]))


def _refuse_missing(key: str, name: str) -> None:
    path = Path(name).expanduser()
    try:
        if path.is_file():
            return
        why = "it is a folder" if path.is_dir() else "there is no such file"
    except (OSError, ValueError) as error:
        why = str(getattr(error, "strerror", None) or error)
    raise TaskFailed(f"{key}={name} cannot be opened: {why}.")


def _rows(spec: Any) -> Iterable[tuple[Path | None, dict[str, Any]]]:
    if spec is None:
        return
    for entry in spec if isinstance(spec, list | tuple) else [spec]:
        if not str(entry).strip():
            raise UsageError("input= names nothing. Give a sound file, a glob, a folder, or a .csv or .jsonl table.")
        path = Path(str(entry)).expanduser()
        if path.suffix.lower() in SUFFIXES and path.is_file():
            yield from read_table(path)
        else:
            yield from ((found, {}) for found in _files(str(entry), path))


def _files(entry: str, path: Path) -> list[Path]:
    try:
        path.stat()
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise TaskFailed(f"input={entry!r} cannot be opened: {getattr(error, 'strerror', None) or error}.") from None
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in SOUND and not p.name.startswith("."))
        if not found:
            raise UsageError(f"The folder {path} holds no sound files ({', '.join(SOUND)}).")
        return found
    if path.exists():
        return [path]
    found = sorted(Path(p) for p in glob.glob(str(path), recursive=True) if Path(p).is_file())
    if found:
        return found
    if glob.has_magic(entry):
        raise TaskFailed(f"No file matches {entry!r}. Check input=.")
    raise TaskFailed(f"There is no file {entry!r}. {_near(entry, path)}")


def _near(entry: str, path: Path) -> str:
    """What `input=` was probably meant to name."""
    names = [name.strip() for name in entry.split(",")]
    if len(names) > 1 and all(Path(name).exists() for name in names):
        return f"For several write 'input=[{','.join(names)}]'."
    beside = [found.name for found in path.parent.iterdir()] if path.parent.is_dir() else []
    near = get_close_matches(path.name, beside, 1)
    return f"Did you mean {str(path.parent / near[0])!r}?" if near else "Check input=."


def _unique(name: str, taken: dict[str, int]) -> str:
    key = name.casefold()
    taken[key] = taken.get(key, 0) + 1
    if taken[key] == 1:
        return name
    return _unique(f"{name}-{taken[key]}", taken)


def _text_stem(text: str) -> str:
    words = re.findall(r"\w+", text)[:5]
    return "-".join(words) or "text"


def _item(name: str, path: Path | None, settings: Mapping[str, Any]) -> Item:
    characters = len(str(settings.get("text", "")))
    if path is None:
        return Item(name=name, characters=characters, settings=dict(settings))
    seconds, channels = probe(path)
    return Item(name, str(path), seconds, channels, characters, dict(settings))


def probe(path: Path) -> tuple[float, int]:
    """(seconds, channels) from a file's header. Raises `TaskFailed` for what holds no sound."""
    if not path.is_file():
        raise TaskFailed(f"{path} is not a regular file. Save the sound as a file first.")
    if path.stat().st_size == 0:
        raise TaskFailed(f"{path} is empty. Is it still being written?")
    audio = _by_soundfile(path)
    seconds, channels = (audio.seconds, audio.channels) if audio else _by_av(path)
    if seconds <= 0:
        raise TaskFailed(f"{path} holds no sound: its length is zero.")
    return seconds, channels


def _by_soundfile(path: Path) -> Audio | None:
    import soundfile

    try:
        with quiet(path):
            return Audio.open(path)
    except soundfile.LibsndfileError:
        return None


@contextmanager
def quiet(path: Path) -> Iterator[None]:
    """Keep what mpg123, inside libsndfile, writes about MP3 files from stderr: our sentences name the file. One at a time."""
    if path.suffix.lower() != ".mp3":
        yield
        return
    sys.stderr.flush()
    kept, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(sink)


def _by_av(path: Path) -> tuple[float, int]:
    try:
        import av
    except ImportError:
        raise TaskFailed(
            f"{path} is not a sound file soundfile can read. For m4a and others: pip install 'headroom-runner[audio]'."
        ) from None
    try:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            duration = stream.duration * stream.time_base if stream.duration else (container.duration or 0) / 1_000_000
            return float(duration), stream.channels
    except (OSError, ValueError, IndexError) as error:
        why = getattr(error, "strerror", None) or error
        raise TaskFailed(f"{path} cannot be read as sound ({why}). Is it complete, and is it audio?") from None


def open_audio(path: Path, folder: Path, warn: Callable[[str], None] = lambda sentence: None) -> Audio:
    """A file's sound as a file-backed value. What soundfile cannot read is decoded once into `folder`.

    Raises `TaskFailed` for what is no sound, and for NaN or infinite samples, which would silently poison every model
    after it. warn: told of a file that has less sound than its header says; what is there is used.
    """
    if not path.is_file():
        raise TaskFailed(f"There is no file {str(path)!r}.")
    audio = _by_soundfile(path) or _decode(path, folder)
    promised, there = shortfall(path) or (audio.seconds, audio.seconds)
    if _frames_in(audio, str(path)) < audio.frames:  # of an MP3 libsndfile believes the header
        audio = _decode(path, folder)
        there = audio.seconds
    if there < promised:
        warn(f"{path} breaks off: its header promises {promised:.1f} s, and the {there:.1f} s that are there are used.")
    return audio


def _decode(path: Path, folder: Path) -> Audio:
    import av
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{safe_name(path.stem)}.wav"
    try:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            planar = av.AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
            with soundfile.SoundFile(str(target), "w", stream.rate, stream.channels, "FLOAT", format="RF64") as sound:
                for frame in container.decode(stream):
                    for block in planar.resample(frame):
                        sound.write(block.to_ndarray().T)
    except (OSError, ValueError, IndexError) as error:
        target.unlink(missing_ok=True)
        why = getattr(error, "strerror", None) or error
        raise TaskFailed(f"{path} cannot be decoded ({why}). Is it complete, and is it audio?") from None
    return Audio.open(target)


def _frames_in(audio: Audio, path: str) -> int:
    """How many frames there are, all of them read and looked at."""
    import numpy as np
    import soundfile

    start = 0
    try:
        with soundfile.SoundFile(str(audio.path)) as sound:
            while len(block := sound.read(audio.rate, dtype="float32", always_2d=True)):
                bad = ~np.isfinite(block).all(axis=1)
                if bad.any():
                    at = (start + int(np.argmax(bad))) / audio.rate
                    raise TaskFailed(
                        f"{path} has samples that are not numbers (the first at {at:.2f} s). Export it again."
                    )
                start += len(block)
    except soundfile.LibsndfileError as error:
        why = error.error_string.removeprefix("Error : ").rstrip(".")
        raise TaskFailed(f"{path} breaks off at {start / audio.rate:.1f} s ({why}). Is the file complete?") from None
    return start


def sequence_of(items: Sequence[Item]) -> str:
    """`song` or `12 items`, for headings."""
    return items[0].name if len(items) == 1 else f"{len(items)} items"
