"""Values on disk: each task's outputs as files under `artifacts/<item>/<node>/`, with a note that says the task is done.

Values travel between nodes as these files, so a long track never has to fit in memory twice, a run can be resumed after
any step, and a node in another process needs only paths. The same values always give the same bytes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipelines.files import sha256_of, write_atomic
from pipelines.schema.errors import InvalidError, SurroundingsFailed
from pipelines.schema.values import PORTS, Audio, Contour, File, Note, Notes, Text, Value, Word, Words

DONE = "done.json"
SCHEMA = "headroom/task/1"
#: Above this a plain WAV header cannot say its own length.
_WAV_LIMIT = 4 * 10**9


class Artifacts:
    """The finished tasks of one run folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._values: dict[tuple[str, str], dict[str, Value]] = {}
        self._contents: dict[tuple[str, str], dict[str, list[str]]] = {}

    def folder(self, item: str, node: str) -> Path:
        """A task's own folder."""
        return self.root / item / node

    def save(
        self, item: str, node: str, outputs: Mapping[str, Value], fingerprint: Mapping[str, Any]
    ) -> dict[str, str]:
        """Write a task's outputs, then the note that it is done. Returns digests by file name.

        Raises `SurroundingsFailed` where the disk does not take them; a task is done only when its note stands.
        """
        folder = self.folder(item, node)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            entries = {port: _write(folder, port, value) for port, value in outputs.items()}
            digests = {name: sha256_of(folder / name) for entry in entries.values() for name in _files_of(entry)}
            note = {"schema": SCHEMA, **fingerprint, "outputs": entries, "sha256": digests}
            write_atomic(folder / DONE, json.dumps(note, indent=1, ensure_ascii=False) + "\n")
        except (OSError, RuntimeError) as error:  # libsndfile's errors are RuntimeErrors
            raise SurroundingsFailed(
                f"{folder} cannot be written ({getattr(error, 'strerror', None) or error}). Free the disk or choose outputs_dir=."
            ) from error
        self._values[item, node] = {port: _read(folder, port, entry) for port, entry in entries.items()}
        self._contents[item, node] = _contents(note)
        return digests

    def value(self, item: str, node: str, port: str) -> Value:
        """An output of a finished task, from memory or from its files."""
        if (item, node) not in self._values:
            folder = self.folder(item, node)
            entries = read_note(folder)["outputs"]
            self._values[item, node] = {name: _read(folder, name, entry) for name, entry in entries.items()}
        return self._values[item, node][port]

    def content(self, item: str, node: str, port: str) -> list[str]:
        """Digests of an output's files, from memory or from its task's note. Raises as `read_note`, `KeyError` for no such output."""
        if (item, node) not in self._contents:
            self._contents[item, node] = _contents(read_note(self.folder(item, node)))
        return self._contents[item, node][port]

    def tracked_settings(self, item: str, node: str) -> set[str]:
        """The names of the settings that a finished task has read. Raises as `read_note`."""
        return set(read_note(self.folder(item, node)).get("settings", {}))

    def is_done(self, item: str, node: str, fingerprint: Mapping[str, Any]) -> bool:
        """Whether the task was finished before by the same variant and settings, with every file still as it was."""
        folder = self.folder(item, node)
        try:
            note = read_note(folder)
        except (OSError, InvalidError):
            return False
        same = all(note.get(key) == value for key, value in json.loads(json.dumps(fingerprint)).items())
        files = note.get("sha256", {})
        return same and all(
            (folder / name).is_file() and sha256_of(folder / name) == sum_ for name, sum_ in files.items()
        )

    def clear(self, item: str, node: str) -> None:
        """Remove what an unfinished task left behind."""
        self._values.pop((item, node), None)
        self._contents.pop((item, node), None)
        with suppress(FileNotFoundError):
            shutil.rmtree(self.folder(item, node))


def read_note(folder: Path) -> dict[str, Any]:
    """The note of a finished task. Raises `InvalidError` for one that says too little or names files outside its folder.

    A resumed folder may come from anybody, so each file must be named plainly and have its digest.
    """
    path = folder / DONE
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        digests = dict(note["sha256"])
        names = [name for entry in note["outputs"].values() for name in _files_of(entry)]
        kinds = {entry["type"] for entry in note["outputs"].values()}
        inside = [(folder / name).resolve().is_relative_to(folder.resolve()) for name in (*names, *digests)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidError(f"{path} is not a note of a finished task ({type(error).__name__}: {error}).") from None
    if not all(inside):
        raise InvalidError(f"{path} names {(*names, *digests)[inside.index(False)]!r}, which is outside its folder.")
    if missing := set(names) - set(digests):
        raise InvalidError(f"{path} has no digest of {', '.join(sorted(missing))}.")
    if strange := kinds - set(PORTS):
        raise InvalidError(f"{path} has an output of an unknown type {min(map(str, strange))!r}.")
    return note  # type: ignore[no-any-return]


def _contents(note: Mapping[str, Any]) -> dict[str, list[str]]:
    return {port: [note["sha256"][name] for name in _files_of(entry)] for port, entry in note["outputs"].items()}


def _files_of(entry: Mapping[str, Any]) -> list[str]:
    """The files of one output, by its entry in a note."""
    return [entry["file"], *entry.get("beside", [])]


def _write(folder: Path, port: str, value: Value) -> dict[str, Any]:
    if isinstance(value, Audio):
        return {"type": "audio", "file": _write_audio(folder, port, value)}
    if isinstance(value, File):
        beside = [_inside(folder, path) for path in value.beside]
        return {"type": "file", "file": _inside(folder, value.path), "beside": beside}
    if isinstance(value, Contour):
        import numpy as np

        np.savez(folder / f"{port}.npz", times=value.times, hertz=value.hertz, confidence=value.confidence)
        return {"type": "contour", "file": f"{port}.npz"}
    # Not atomic: a task without its note is not done, whatever lies in its folder.
    (folder / f"{port}.json").write_text(
        json.dumps(asdict(value), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return {"type": value.port, "file": f"{port}.json"}


def _read(folder: Path, port: str, entry: Mapping[str, Any]) -> Value:
    path = folder / entry["file"]
    kind = entry["type"]
    if kind == "audio":
        return Audio.open(path)
    if kind == "file":
        return File(path, tuple(folder / name for name in entry.get("beside", [])))
    if kind == "contour":
        import numpy as np

        with np.load(path, allow_pickle=False) as data:
            return Contour(data["times"], data["hertz"], data["confidence"])
    data = json.loads(path.read_text(encoding="utf-8"))
    if kind == "words":
        return Words(tuple(Word(**word) for word in data["words"]), data["language"])
    if kind == "notes":
        notes = tuple(Note(**note) for note in data["notes"])
        return Notes(notes, data["bpm"], data["language"], data["key"], tuple(data["breaks"]))
    return Text(**data)


def _inside(folder: Path, path: Path) -> str:
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InvalidError(f"A node wrote {path} outside its own folder {folder}.")
    return str(path.resolve().relative_to(folder.resolve()))


def _write_audio(folder: Path, port: str, audio: Audio) -> str:
    if audio.path is not None and audio.path.resolve().is_relative_to(folder.resolve()):
        _still_clock(audio.path)
        return _inside(folder, audio.path)
    import soundfile

    path = folder / f"{port}.wav"
    large = audio.frames * audio.channels * 4 > _WAV_LIMIT
    with soundfile.SoundFile(
        str(path), "w", audio.rate, audio.channels, "FLOAT", format="RF64" if large else "WAV"
    ) as sound:
        for block in audio.blocks(audio.rate * 30):
            sound.write(block.T)
    _still_clock(path)
    return path.name


def _still_clock(path: Path) -> None:
    """Float WAV files carry the time of writing in their PEAK chunk; zero it, so that equal sound is equal bytes."""
    if path.suffix.lower() != ".wav":
        return
    with path.open("r+b") as file:
        head = file.read(512)
        at = head.find(b"PEAK")
        if at > 0:
            file.seek(at + 12)
            file.write(b"\0\0\0\0")
